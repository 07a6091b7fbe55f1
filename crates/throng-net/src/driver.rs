//! The loop around a node: receive a batch, a step for each, send what came out, sleep until the next wake.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use throng_core::documents::Document;
use throng_core::documents::DocumentError;
use throng_core::membership::Record;
use throng_core::output::Doubt;
use throng_core::rng::Seed;
use throng_core::{CircuitId, Command, Event, Input, Node, NodeConfig, NodeId, Outbox, Time};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::debug;

use crate::alarm::Alarm;
use crate::clock::Clock;
use crate::meter::Meter;
use crate::pacer::Pacer;
use crate::pipe::Pipe;
use crate::socket::Socket;
use crate::suite::Fast;

/// Orders that may wait for a node.
const ORDERS_MAX: usize = 4096;
/// Batches of datagrams received before what came out is sent: enough to fill the kernel's segmentation, few
/// enough that nothing waits long.
const RECEIVE_ROUNDS_MAX: usize = 4;

/// What an owner may want of a running node.
pub enum Order {
    /// Know this node.
    Learn(Arc<Record>),
    /// Use this network document if it is newer than the one in force.
    Document(Arc<Document>),
    /// Find a circuit for a stream.
    Attach {
        /// The owner's name for the stream.
        stream: u64,
        /// Streams of different isolation never share a circuit.
        isolation: [u8; 32],
        /// The port that the exit must serve; none if any exit will do.
        port: Option<u16>,
        /// Exits that could not serve it.
        avoid: Vec<NodeId>,
    },
    /// A stream ended.
    Detach(CircuitId),
    /// End a circuit.
    Close(CircuitId),
    /// Put new streams on fresh circuits only.
    Renew,
    /// Whether cover may cost anything now.
    Spend(bool),
    /// How are you, and what did you observe?
    Meter(oneshot::Sender<Meter>),
    /// Take leave of the neighbours and end.
    Leave,
}

/// What a node heard of its network.
#[derive(Clone, Debug)]
pub enum News {
    /// A newer document is in force.
    Document(Arc<Document>),
    /// Operators signed this one too, with the serial of the one in force: neither is used.
    Conflict(Arc<Document>),
    /// The one in force from now on is not of one history with this one, which was.
    OtherHistory(Arc<Document>),
    /// An exit says that it holds another one than ours, or a newer one that no neighbour has.
    Doubted(Doubt),
    /// A neighbour has another one that cannot be used here: the clock is wrong, or the program old, or it has expired.
    Refused(DocumentError),
}

/// A running node. Dropping it ends the node without a farewell.
pub struct Driver {
    orders: mpsc::Sender<Order>,
    news: mpsc::UnboundedReceiver<News>,
    task: JoinHandle<()>,
}

impl Driver {
    /// Runs a node on `socket`. Its payloads go through `pipe`; what happens is told to `events`.
    ///
    /// `events` has no bound of its own: there is at most one event per order and per circuit, and both are
    /// bounded.
    pub fn start(
        config: NodeConfig,
        seed: &Seed,
        clock: Clock,
        socket: Socket,
        pipe: Arc<Pipe>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Self {
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let (tell, news) = mpsc::unbounded_channel();
        let outbox = Outbox::new(config.design.geometry);
        let node = Node::<Fast>::new(config, seed, clock.now());
        let wake = node.next_wake();
        let pacer = Pacer::new(clock, Arc::clone(socket.outlet()));
        let running = Running {
            node,
            outbox,
            clock,
            socket,
            pacer,
            pipe,
            events,
            tell,
            wake,
            alarm: Alarm::new(clock),
            orders: VecDeque::new(),
        };
        Self { orders, news, task: tokio::spawn(running.run(inbox)) }
    }

    /// Where to send orders.
    pub fn orders(&self) -> mpsc::Sender<Order> {
        self.orders.clone()
    }

    /// What the node hears of its network, once it does; nothing if it ended.
    pub async fn news(&mut self) -> Option<News> {
        self.news.recv().await
    }

    /// Where to ask how the node is and what it observed.
    pub fn meter(&self) -> Asking {
        Asking(self.orders.clone())
    }

    /// Lets the node take leave, and waits for its end.
    pub async fn leave(mut self) {
        debug!("a node takes leave");
        if self.orders.send(Order::Leave).await.is_ok() {
            let _ = (&mut self.task).await;
        }
    }
}

/// Asks a running node what it observed.
#[derive(Clone)]
pub struct Asking(mpsc::Sender<Order>);

impl Asking {
    /// What it observed; nothing if it ended.
    pub async fn ask(&self) -> Option<Meter> {
        let (tell, told) = oneshot::channel();
        self.0.send(Order::Meter(tell)).await.ok()?;
        told.await.ok()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Running {
    node: Node<Fast>,
    outbox: Outbox,
    clock: Clock,
    socket: Socket,
    pacer: Pacer,
    pipe: Arc<Pipe>,
    events: mpsc::UnboundedSender<Event>,
    tell: mpsc::UnboundedSender<News>,
    wake: Time,
    /// As precise as the pacer's: a late wake eats from the guard time before a slot.
    alarm: Alarm,
    orders: VecDeque<Order>,
}

impl Running {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        loop {
            tokio::select! {
                readable = self.socket.readable() => if readable.is_err() { return },
                () = self.pipe.has_outgoing() => {}
                received = inbox.recv() => match received {
                    Some(order) => self.orders.push_back(order),
                    None => return,
                },
                () = self.alarm.until(self.wake) => {}
            }
            while let Ok(order) = inbox.try_recv() {
                self.orders.push_back(order);
            }
            let turn = self.turn();
            self.flush().await;
            match turn {
                TurnEnd::Idle => {}
                TurnEnd::Busy => tokio::task::yield_now().await, // other nodes of the process want to run too
                TurnEnd::Last => return self.pacer.end().await,
            }
        }
    }

    /// Everything that is there to do, done.
    fn turn(&mut self) -> TurnEnd {
        let mut now = self.clock.now();
        let Self { node, outbox, clock, socket, pacer, pipe, orders, wake, .. } = self;
        let mut turn = TurnEnd::Busy;
        for _ in 0..RECEIVE_ROUNDS_MAX {
            let received = socket.receive(|from, bytes| {
                *wake = node.step(now, Input::Datagram { from, bytes }, outbox);
            });
            match received {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    turn = TurnEnd::Idle;
                    break;
                }
                // A neighbour that is gone shows as "connection refused" here; that is for silence to notice.
                Err(_) => {}
            }
            now = clock.now();
            if now >= node.due() {
                break; // what is to be decided before a slot does not wait for all that arrives
            }
        }
        *wake = node.step(now, Input::Wake, outbox);
        pipe.take_outgoing(|circuit, payload| {
            *wake = node.step(now, Input::Command(Command::Send { circuit, payload }), outbox);
        });
        while let Some(order) = orders.pop_front() {
            let command = match order {
                Order::Learn(record) => Command::Learn(record),
                Order::Document(document) => Command::Document(document),
                Order::Attach { stream, isolation, port, ref avoid } => {
                    Command::Attach { stream, isolation, port, avoid }
                }
                Order::Detach(circuit) => Command::Detach { circuit },
                Order::Close(circuit) => Command::Close { circuit },
                Order::Renew => Command::Renew,
                Order::Spend(may) => Command::Spend(may),
                Order::Meter(tell) => {
                    let _ = tell.send(Meter::of(node, pipe.dropped(), pacer.pacing(), now));
                    continue;
                }
                Order::Leave => {
                    node.step(now, Input::Command(Command::Leave), outbox);
                    return TurnEnd::Last;
                }
            };
            *wake = node.step(now, Input::Command(command), outbox);
        }
        // It does a handshake for others in each turn; between them whoever else is here has his, and what arrives is read.
        if node.owes() { TurnEnd::Busy } else { turn }
    }

    /// Sends and hands on what came out.
    async fn flush(&mut self) {
        for lane in self.outbox.lanes() {
            if lane.at != Time::ZERO {
                self.pacer.hold(lane);
                continue;
            }
            let mut rest = lane.datagrams;
            while !rest.is_empty() {
                match self.socket.outlet().send(lane.to, rest) {
                    Ok(done) => rest = &rest[done..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if self.socket.outlet().writable().await.is_err() {
                            break;
                        }
                    }
                    Err(_) => break, // lost, as any datagram may be
                }
            }
        }
        self.pipe.deliver(&self.outbox);
        for event in self.outbox.events.drain(..) {
            // Where nobody listens, nobody wants to know.
            let _ = match event {
                Event::Document(document) => self.tell.send(News::Document(document)).is_ok(),
                Event::Conflict(document) => self.tell.send(News::Conflict(document)).is_ok(),
                Event::OtherHistory { before } => self.tell.send(News::OtherHistory(before)).is_ok(),
                Event::DocumentDoubted(doubt) => self.tell.send(News::Doubted(doubt)).is_ok(),
                Event::DocumentRefused(why) => self.tell.send(News::Refused(why)).is_ok(),
                event => self.events.send(event).is_ok(),
            };
        }
        self.outbox.clear();
    }
}

/// How a turn ended.
enum TurnEnd {
    /// There is no more to do.
    Idle,
    /// There may be more to do.
    Busy,
    /// The node has taken leave.
    Last,
}
