//! Whether exits of this process can look names up, for as long as they run.

use std::time::Duration;

use throng_net::exit::Resolver;
use throng_net::notices::{About, Notices};
use tokio::task::JoinHandle;

/// How often the system's configuration is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Keeps the notice about them true until the task is aborted. Needs a tokio runtime.
pub(crate) fn watch(notices: Notices) -> JoinHandle<()> {
    let resolver = Resolver::system();
    look(&resolver, &notices);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            look(&resolver, &notices);
        }
    })
}

fn look(resolver: &Resolver, notices: &Notices) {
    match resolver.trouble() {
        Some(why) => notices.hold(About::Names, why.to_string()),
        None => notices.end(About::Names),
    }
}
