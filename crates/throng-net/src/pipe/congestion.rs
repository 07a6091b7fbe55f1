//! Congestion control in circuits, which also tells when everything that was sent has arrived.

use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use quinn::congestion::{Bbr, BbrConfig, Controller, ControllerFactory, ControllerMetrics};
use quinn_proto::RttEstimator;

use super::memory::Portion;

/// BBR, since loss is no sign of congestion here: over links that lose 2 % each (some 8 % end to end) it carried 8 MiB
/// ten times as fast as CUBIC, and as fast on clean ones.
#[derive(Clone)]
pub(super) struct Watched {
    bbr: Bbr,
    under_way_max: u64,
    /// Whom to tell. (That this keeps it alive is right: what was not acknowledged is held as long as its connection.)
    portion: Arc<OnceLock<Arc<Portion>>>,
}

impl Watched {
    /// Tells `portion` from now on when everything has arrived.
    pub(super) fn tell(&self, portion: Arc<Portion>) {
        let first = self.portion.set(portion).is_ok();
        debug_assert!(first, "a connection has one portion");
    }
}

/// Makes it.
pub(super) struct WatchedConfig {
    bbr: Arc<BbrConfig>,
    under_way_max: u64,
}

impl WatchedConfig {
    /// With `initial_window` bytes under way before the first acknowledgement, and `under_way_max` ever.
    pub(super) fn new(initial_window: u64, under_way_max: u64) -> Self {
        let mut config = BbrConfig::default();
        config.initial_window(initial_window);
        Self { bbr: Arc::new(config), under_way_max }
    }
}

impl ControllerFactory for WatchedConfig {
    fn build(self: Arc<Self>, _: Instant, mtu: u16) -> Box<dyn Controller> {
        let bbr = Bbr::new(Arc::clone(&self.bbr), mtu);
        Box::new(Watched { bbr, under_way_max: self.under_way_max, portion: Arc::default() })
    }
}

impl Controller for Watched {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.bbr.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.bbr.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest: Option<u64>) {
        // Nothing is on its way, and nothing waits to be sent, or sent again.
        if let Some(portion) = self.portion.get().filter(|_| in_flight == 0 && app_limited) {
            portion.all_arrived();
        }
        self.bbr.on_end_acks(now, in_flight, app_limited, largest);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, lost_bytes: u64) {
        self.bbr.on_congestion_event(now, sent, persistent, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.bbr.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.bbr.window().min(self.under_way_max)
    }

    fn metrics(&self) -> ControllerMetrics {
        self.bbr.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.bbr.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
