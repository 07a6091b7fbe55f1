//! Bad weather for datagrams: a relay in front of a mix that loses some and holds up others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::noise::Noise;

/// What happens to every datagram, in each direction and independently of all others.
#[derive(Clone, Copy)]
pub struct Weather {
    pub seed: u64,
    /// Of a thousand, so many are lost.
    pub lost_per_mille: u64,
    /// Each is held up for between these; so they overtake each other.
    pub delay_us: (u64, u64),
}

impl Weather {
    /// The same, with a chance of its own.
    pub fn of(self, mix: usize) -> Self {
        Self { seed: self.seed.wrapping_add(mix as u64 * 0x1234_5678_9abc), ..self }
    }
}

/// Stands at the address that a mix is known by, and passes on to where it is; it has a socket of its own for
/// each who comes, so that the answers find their way back.
pub struct Relay {
    pub address: SocketAddr,
    passed: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

/// Pairs of hosts between which nothing passes, in neither direction.
#[derive(Clone, Default)]
pub struct Cuts(Arc<Mutex<Vec<(IpAddr, IpAddr)>>>);

impl Cuts {
    pub fn cut(&self, a: IpAddr, b: IpAddr) {
        self.0.lock().unwrap().push((a, b));
    }

    pub fn heal(&self) {
        self.0.lock().unwrap().clear();
    }

    fn has(&self, a: IpAddr, b: IpAddr) -> bool {
        self.0.lock().unwrap().iter().any(|pair| *pair == (a, b) || *pair == (b, a))
    }
}

impl Relay {
    pub fn start(mix: SocketAddr, weather: Weather) -> Self {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), mix, weather, Cuts::default())
    }

    /// The same at an address that it is given, and with hosts that may be cut off from this mix.
    pub fn start_at(address: SocketAddr, mix: SocketAddr, weather: Weather, cuts: Cuts) -> Self {
        let public = Arc::new(bind(address));
        let address = public.local_addr().unwrap();
        let fate = Fate {
            weather,
            cuts,
            noise: Arc::new(Mutex::new(Noise::new(weather.seed))),
            passed: Arc::default(),
            lost: Arc::default(),
        };
        let (passed, lost) = (Arc::clone(&fate.passed), Arc::clone(&fate.lost));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // Dropped with this task, which ends the ways back.
            let mut ways_back = JoinSet::new();
            let mut upstreams: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
            let mut datagram = vec![0; 2048];
            loop {
                let Ok((length, from)) = public.recv_from(&mut datagram).await else { continue };
                let upstream = upstreams.entry(from).or_insert_with(|| {
                    let upstream = Arc::new(bind(SocketAddr::new(any(mix), 0)));
                    ways_back.spawn(carry_back(
                        Arc::clone(&upstream),
                        Arc::clone(&public),
                        (from, mix),
                        fate.clone(),
                    ));
                    upstream
                });
                fate.meet(&datagram[..length], upstream, mix, from);
            }
        });
        Self { address, passed, lost, _tasks: tasks }
    }

    /// Datagrams that came through, in both directions.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

async fn carry_back(
    upstream: Arc<UdpSocket>,
    public: Arc<UdpSocket>,
    (to, mix): (SocketAddr, SocketAddr),
    fate: Fate,
) {
    let mut datagram = vec![0; 2048];
    loop {
        let Ok(length) = upstream.recv(&mut datagram).await else { continue };
        fate.meet(&datagram[..length], &public, to, mix);
    }
}

#[derive(Clone)]
struct Fate {
    weather: Weather,
    cuts: Cuts,
    noise: Arc<Mutex<Noise>>,
    passed: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
}

impl Fate {
    /// Loses a datagram, or sends it a little later.
    fn meet(&self, datagram: &[u8], socket: &Arc<UdpSocket>, to: SocketAddr, from: SocketAddr) {
        if self.cuts.has(from.ip(), to.ip()) {
            return;
        }
        let (is_lost, delay) = {
            let mut noise = self.noise.lock().unwrap();
            let (least, most) = self.weather.delay_us;
            (noise.below(1000) < self.weather.lost_per_mille, least + noise.below(most - least + 1))
        };
        if is_lost {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.passed.fetch_add(1, Ordering::Relaxed);
        let (datagram, socket) = (datagram.to_vec(), Arc::clone(socket));
        tokio::spawn(async move {
            sleep(Duration::from_micros(delay)).await;
            let _ = socket.send_to(&datagram, to).await;
        });
    }
}

/// Any address of the family.
fn any(of: SocketAddr) -> IpAddr {
    if of.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// With as much room in the kernel as a mix's socket has: what is lost, is lost by the weather.
fn bind(address: SocketAddr) -> UdpSocket {
    let socket = std::net::UdpSocket::bind(address).unwrap();
    socket.set_nonblocking(true).unwrap();
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(8 << 20); // the kernel grants what its limits allow
    UdpSocket::from_std(socket).unwrap()
}
