//! Those who speak to the monitor over the pod's control socket, and their commands in the pod.
//!
//! Nobody here is believed: a client that does not keep to the protocol or to its windows is cut off,
//! and one that does not read holds up nothing but its own.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use rkt_executor::Failure;
use rkt_executor::process::failed;
use rkt_monitor::frame::{Channel, Frame, Stream, WINDOW};
use rkt_monitor::link::{Link, LinkError};
use rkt_monitor::parcel::Incoming;
use rkt_monitor::{Enter, Reply, Request, Status};
use rkt_sys::poll::{PollFd, PollFlags};
use rkt_sys::socket;
use rustix::process::Pid;

use super::apps::Apps;
use super::ending::Ending;
use super::programs::Entry;
use crate::between::OUTPUTS;

/// Connections at a time; more wait in the kernel's queue.
const MOST_CLIENTS: usize = 64;

/// Commands of one client at a time.
const MOST_CALLS: usize = 16;

/// All clients.
#[derive(Debug)]
pub(crate) struct Clients {
    listener: UnixListener,
    links: BTreeMap<u64, Link>,
    /// Commands in the pod, by init's number for them.
    calls: BTreeMap<u32, Call>,
    /// The one change that somebody is asking for.
    asking: Option<Asking>,
    /// The one that was asked for, until the monitor takes it up.
    wanted: Option<Wanted>,
    next_client: u64,
    next_call: u32,
}

/// Who asked for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asker {
    client: u64,
    /// The client's own number for the call.
    call: u32,
}

#[derive(Debug)]
struct Asking {
    asker: Asker,
    launch: Incoming,
}

/// A change that is asked for.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) asker: Asker,
    /// The launch of the pod as it is to be, as JSON.
    pub(crate) launch: Vec<u8>,
}

/// A command of a client.
#[derive(Debug)]
struct Call {
    client: u64,
    /// The client's own number for it.
    number: u32,
    /// How many bytes of input the client may send.
    input: u32,
    /// How many bytes init may send, of output and error output.
    outputs: [u32; 2],
    /// Whether output and error output have ended.
    have_ended: [bool; 2],
    has_started: bool,
}

/// What a client's request may need.
pub(crate) struct Pod<'a> {
    pub(crate) init: &'a mut Link,
    pub(crate) ending: &'a mut Ending,
    pub(crate) apps: &'a Apps,
    pub(crate) init_pid: Pid,
    pub(crate) entry: &'a Entry,
    /// Whether it is being changed.
    pub(crate) is_changing: bool,
}

impl Clients {
    pub(crate) fn new(listener: UnixListener) -> Result<Self, Failure> {
        listener.set_nonblocking(true).map_err(failed("listen on the control socket"))?;
        Ok(Self {
            listener,
            links: BTreeMap::new(),
            calls: BTreeMap::new(),
            asking: None,
            wanted: None,
            next_client: 0,
            next_call: 1,
        })
    }

    /// What says that there are new clients: nothing while there are enough.
    pub(crate) fn newcomers(&self) -> PollFd<'_> {
        let has_room = self.links.len() < MOST_CLIENTS;
        PollFd::new(&self.listener, if has_room { PollFlags::IN } else { PollFlags::empty() })
    }

    /// Adds what is waited for.
    pub(crate) fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        for link in self.links.values() {
            link.add_to(fds);
        }
    }

    /// Hears what clients say.
    pub(crate) fn advance(&mut self, mut pod: Pod<'_>) {
        for (id, mut link) in std::mem::take(&mut self.links) {
            if let Ok(true) = self.hear(id, &mut link, &mut pod) {
                self.links.insert(id, link);
            } else {
                self.hang_up(id, pod.init);
            }
        }
    }

    /// Takes new clients.
    pub(crate) fn accept(&mut self) {
        while self.links.len() < MOST_CLIENTS {
            let Ok((stream, _)) = self.listener.accept() else { return };
            if !is_allowed(&stream) {
                continue;
            }
            if let Ok(link) = Link::new(OwnedFd::from(stream)) {
                self.links.insert(self.next_client, link);
                self.next_client += 1;
            }
        }
    }

    /// The change that is asked for, once.
    pub(crate) fn take_wanted(&mut self) -> Option<Wanted> {
        self.wanted.take()
    }

    /// Answers who asked for a change, if they are still there.
    pub(crate) fn answer(&mut self, asker: Asker, reply: &Reply) {
        if let Some(link) = self.links.get_mut(&asker.client) {
            link.send_message(asker.call, reply);
            // A client that is gone is found out when it is next heard.
            let _ = link.flush();
        }
    }

    /// Whether the client is still there.
    fn hear(&mut self, id: u64, link: &mut Link, pod: &mut Pod<'_>) -> Result<bool, LinkError> {
        link.flush()?;
        if link.wants_to_receive() {
            link.receive()?;
        }
        while let Some((stream, frame)) = link.next_frame()? {
            let kept = match frame {
                Frame::Message(json) => {
                    self.hear_request(id, stream.call, &json, link, pod);
                    true
                }
                frame if self.is_asked_for(id, stream) => self.take_launch(stream, &frame, link),
                frame => self.hand_to_init(id, stream, frame, pod.init),
            };
            if !kept {
                return Ok(false);
            }
        }
        link.flush()?;
        Ok(!link.has_ended())
    }

    fn hear_request(&mut self, id: u64, call: u32, json: &[u8], link: &mut Link, pod: &mut Pod<'_>) {
        match serde_json::from_slice(json) {
            Ok(Request::Status {}) => {
                let init = pod.init_pid.as_raw_pid().cast_unsigned();
                let is_changing = self.is_changing(pod);
                link.send_message(call, &Reply::Status(Status { init, apps: pod.apps.status(), is_changing }));
            }
            Ok(Request::Stop { force, patience }) => {
                match (force, patience) {
                    (true, _) => pod.ending.force(),
                    (false, None) => pod.ending.want(),
                    (false, Some(patience)) => pod.ending.want_within(Duration::from_millis(patience)),
                }
                link.send_message(call, &Reply::Done {});
            }
            Ok(Request::Enter(enter)) => {
                if self.calls.values().filter(|other| other.client == id).count() >= MOST_CALLS {
                    let message = "too many commands on one connection".to_owned();
                    return link.send_message(call, &Reply::Failed { message });
                }
                let enter = match pod.entry.enter(enter) {
                    Ok(enter) => enter,
                    Err(message) => return link.send_message(call, &Reply::Failed { message }),
                };
                self.calls.insert(self.next_call, Call::new(id, call));
                self.run(&enter, pod.init);
            }
            Ok(Request::Resize(size)) => {
                if let Some(number) = self.find(id, call) {
                    pod.init.send_message(number, &Request::Resize(size));
                }
            }
            Ok(Request::Change {}) => self.begin_asking(Asker { client: id, call }, link, pod),
            Err(_) => {
                let message = "the pod's monitor is of another version and cannot do this".to_owned();
                link.send_message(call, &Reply::Failed { message });
            }
        }
    }

    fn is_changing(&self, pod: &Pod<'_>) -> bool {
        pod.is_changing || self.asking.is_some() || self.wanted.is_some()
    }

    /// Somebody wants to change the pod, and says next what it is to be.
    fn begin_asking(&mut self, asker: Asker, link: &mut Link, pod: &Pod<'_>) {
        let message = if self.is_changing(pod) {
            "the pod is being changed already"
        } else if pod.ending.has_begun() {
            "the pod is being stopped"
        } else {
            self.asking = Some(Asking { asker, launch: Incoming::default() });
            return;
        };
        link.send_message(asker.call, &Reply::Failed { message: message.to_owned() });
    }

    /// Whether a stream is that of a launch that is on its way.
    fn is_asked_for(&self, client: u64, stream: Stream) -> bool {
        let asker = Asker { client, call: stream.call };
        stream.channel == Channel::Input && self.asking.as_ref().is_some_and(|asking| asking.asker == asker)
    }

    /// Whether the client sends no more than is taken.
    fn take_launch(&mut self, stream: Stream, frame: &Frame, link: &mut Link) -> bool {
        let Some(mut asking) = self.asking.take() else { return true };
        match asking.launch.take(stream, frame, link) {
            Ok(None) => self.asking = Some(asking),
            Ok(Some(launch)) => self.wanted = Some(Wanted { asker: asking.asker, launch }),
            Err(_) => return false,
        }
        true
    }

    /// Has init run a command. What it says of one that is no client's goes nowhere.
    pub(crate) fn run(&mut self, enter: &Enter, init: &mut Link) {
        init.send_message(self.next_call, &Request::Enter(enter.clone()));
        if !self.calls.contains_key(&self.next_call) {
            init.send(Stream::new(self.next_call, Channel::Input), &Frame::End);
        }
        self.next_call = self.next_call % (OUTPUTS - 1) + 1;
    }

    /// Init's number for a call of a client.
    fn find(&self, id: u64, call: u32) -> Option<u32> {
        let mut calls = self.calls.iter().filter(|(_, other)| other.client == id && other.number == call);
        calls.next_back().map(|(number, _)| *number)
    }

    /// Whether the client keeps to its windows.
    fn hand_to_init(&mut self, id: u64, stream: Stream, frame: Frame, init: &mut Link) -> bool {
        let Some(number) = self.find(id, stream.call) else {
            // A command that has just ended leaves frames on their way.
            return true;
        };
        let Some(call) = self.calls.get_mut(&number) else { return true };
        let to = Stream::new(number, stream.channel);
        match (stream.channel, frame) {
            (Channel::Input, Frame::Data(bytes)) => {
                let Some(left) = spend(call.input, &bytes) else { return false };
                call.input = left;
                init.send(to, &Frame::Data(bytes));
            }
            (Channel::Input, Frame::End) => init.send(to, &Frame::End),
            (Channel::Output | Channel::Error, Frame::Credit(more)) => {
                let window = &mut call.outputs[usize::from(stream.channel == Channel::Error)];
                // Nobody has more than a window: what a client gives beyond it would be kept here.
                let more = more.min(WINDOW - *window);
                *window += more;
                init.send(to, &Frame::Credit(more));
            }
            _ => return false,
        }
        true
    }

    /// Hands on what init says of a command. It may be a guest's, which gets nothing handed on but what a call
    /// has once: a client that does not read would else have everything kept for it.
    pub(crate) fn hear_init(&mut self, stream: Stream, frame: &Frame, init: &mut Link) {
        let Some(call) = self.calls.get_mut(&stream.call) else { return };
        let client = call.client;
        let to = Stream::new(call.number, stream.channel);
        match call.hear(stream.channel, frame) {
            Heard::Nothing => return,
            Heard::TooMuch => return self.hang_up(client, init),
            Heard::More => {}
            Heard::Last => drop(self.calls.remove(&stream.call)),
        }
        if let Some(link) = self.links.get_mut(&client) {
            link.send(to, frame);
        }
    }

    /// Forgets a client, and tells init of its commands.
    fn hang_up(&mut self, id: u64, init: &mut Link) {
        self.links.remove(&id);
        self.asking.take_if(|asking| asking.asker.client == id);
        self.calls.retain(|number, call| {
            if call.client == id {
                init.send(Stream::new(*number, Channel::Message), &Frame::End);
            }
            call.client != id
        });
    }
}

/// What a frame of init's is to a client.
enum Heard {
    Nothing,
    /// More than init may send.
    TooMuch,
    More,
    /// The call is over.
    Last,
}

impl Call {
    fn new(client: u64, number: u32) -> Self {
        let (outputs, have_ended) = ([WINDOW; 2], [false; 2]);
        Self { client, number, input: WINDOW, outputs, have_ended, has_started: false }
    }

    fn hear(&mut self, channel: Channel, frame: &Frame) -> Heard {
        let which = usize::from(channel == Channel::Error);
        match (channel, frame) {
            (Channel::Message, Frame::Message(json)) => {
                let is_start = matches!(serde_json::from_slice(json), Ok(Reply::Started {}));
                if is_start && !std::mem::replace(&mut self.has_started, true) { Heard::More } else { Heard::Last }
            }
            (Channel::Input, Frame::Credit(more)) if *more > 0 && self.input < WINDOW => {
                self.input = self.input.saturating_add(*more).min(WINDOW);
                Heard::More
            }
            (Channel::Output | Channel::Error, Frame::Data(bytes)) if !bytes.is_empty() && !self.have_ended[which] => {
                match spend(self.outputs[which], bytes) {
                    Some(left) => {
                        self.outputs[which] = left;
                        Heard::More
                    }
                    None => Heard::TooMuch,
                }
            }
            (Channel::Output | Channel::Error, Frame::End) if !self.have_ended[which] => {
                self.have_ended[which] = true;
                Heard::More
            }
            _ => Heard::Nothing,
        }
    }
}

/// What is left of a window, if the bytes fit in it.
fn spend(window: u32, bytes: &[u8]) -> Option<u32> {
    window.checked_sub(u32::try_from(bytes.len()).ok()?)
}

/// Root, and whoever the monitor runs as.
fn is_allowed(stream: &UnixStream) -> bool {
    socket::peer(stream).is_ok_and(|peer| peer.uid.is_root() || peer.uid == rustix::process::geteuid())
}
