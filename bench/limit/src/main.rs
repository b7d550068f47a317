//! The physical limit: one thread, one epoll, no framework.
//! Run: cargo run --release -- 9006 write|coalesce|uring
//!
//! write     one write(2) per delivery, at once
//! coalesce  messages of one loop turn go out as one write(2) per connection
//! uring     like coalesce, but all sends of a turn are submitted to io_uring together
use io_uring::{IoUring, opcode, types};
use std::collections::HashMap;

mod hash;

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Write,
    Coalesce,
    Uring,
}

struct Conn {
    room: u32, // u32::MAX: handshake, u32::MAX-1: echo
    pos: u32,
    held: Vec<u8>,
    out: Vec<u8>,
}
const NEW: u32 = u32::MAX;
const ECHO: u32 = u32::MAX - 1;

struct Room {
    fds: Vec<i32>,
    pending: Vec<u8>,
    key: String,
}

struct S {
    ep: i32,
    mode: Mode,
    conns: Vec<Option<Box<Conn>>>,
    rooms: Vec<Room>,
    names: HashMap<String, u32>,
    free: Vec<u32>,
    dirty: Vec<u32>,
    ring: Option<IoUring>,
    closing: Vec<i32>,
}

fn send(fd: i32, b: &[u8]) -> isize {
    unsafe { libc::send(fd, b.as_ptr() as *const _, b.len(), libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) }
}

impl S {
    fn arm(&self, fd: i32, out: bool) {
        let mut ev = libc::epoll_event {
            events: (libc::EPOLLIN | if out { libc::EPOLLOUT } else { 0 }) as u32,
            u64: fd as u64,
        };
        unsafe { libc::epoll_ctl(self.ep, libc::EPOLL_CTL_MOD, fd, &mut ev) };
    }
    fn push(&mut self, fd: i32, b: &[u8]) {
        let Some(c) = self.conns[fd as usize].as_mut() else { return };
        let mut n = 0;
        if c.out.is_empty() {
            n = send(fd, b).max(0) as usize;
        }
        if n < b.len() {
            let first = c.out.is_empty();
            c.out.extend_from_slice(&b[n..]);
            if first {
                self.arm(fd, true);
            }
        }
    }
    fn head(op: u8, len: usize, out: &mut Vec<u8>) {
        out.push(0x80 | op);
        if len < 126 {
            out.push(len as u8);
        } else if len < 65536 {
            out.push(126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        } else {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    fn message(&mut self, fd: i32, room: u32, op: u8, pay: &[u8]) {
        if room == ECHO {
            let mut f = Vec::with_capacity(pay.len() + 10);
            Self::head(op, pay.len(), &mut f);
            f.extend_from_slice(pay);
            self.push(fd, &f);
            return;
        }
        let r = &mut self.rooms[room as usize];
        if self.mode == Mode::Write {
            let mut f = std::mem::take(&mut r.pending);
            f.clear();
            Self::head(op, pay.len(), &mut f);
            f.extend_from_slice(pay);
            let fds = std::mem::take(&mut r.fds);
            for fd in &fds {
                self.push(*fd, &f);
            }
            let r = &mut self.rooms[room as usize];
            r.fds = fds;
            r.pending = f;
        } else {
            if r.pending.is_empty() {
                self.dirty.push(room);
            }
            Self::head(op, pay.len(), &mut r.pending);
            r.pending.extend_from_slice(pay);
        }
    }
    fn flush(&mut self) {
        let dirty = std::mem::take(&mut self.dirty);
        for room in &dirty {
            let r = &mut self.rooms[*room as usize];
            let fds = std::mem::take(&mut r.fds);
            let mut f = std::mem::take(&mut r.pending);
            if let (Mode::Uring, Some(ring)) = (self.mode, self.ring.as_mut()) {
                let mut late: Vec<(i32, usize)> = Vec::new();
                for chunk in fds.chunks(1024) {
                    let mut queued = 0;
                    for fd in chunk {
                        let c = self.conns[*fd as usize].as_mut().unwrap();
                        if !c.out.is_empty() {
                            c.out.extend_from_slice(&f);
                            continue;
                        }
                        let e = opcode::Send::new(types::Fd(*fd), f.as_ptr(), f.len() as u32)
                            .flags(libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
                            .build()
                            .user_data(*fd as u64);
                        unsafe { ring.submission().push(&e).expect("ring full") };
                        queued += 1;
                    }
                    let mut seen = 0;
                    let _ = ring.submit_and_wait(queued);
                    while seen < queued {
                        let mut any = false;
                        for q in ring.completion() {
                            seen += 1;
                            any = true;
                            let n = q.result().max(0) as usize;
                            if n < f.len() {
                                late.push((q.user_data() as i32, n));
                            }
                        }
                        if !any && seen < queued {
                            let _ = ring.submit_and_wait(1);
                        }
                    }
                }
                for (fd, n) in late {
                    self.conns[fd as usize].as_mut().unwrap().out.extend_from_slice(&f[n..]);
                    self.arm(fd, true);
                }
            } else {
                for fd in &fds {
                    self.push(*fd, &f);
                }
            }
            let r = &mut self.rooms[*room as usize];
            r.fds = fds;
            f.clear();
            r.pending = f;
        }
        self.dirty = dirty;
        self.dirty.clear();
    }
    fn drop_conn(&mut self, fd: i32) {
        let Some(c) = self.conns[fd as usize].take() else { return };
        if c.room < ECHO {
            let r = &mut self.rooms[c.room as usize];
            let pos = c.pos as usize;
            r.fds.swap_remove(pos);
            if let Some(moved) = r.fds.get(pos) {
                self.conns[*moved as usize].as_mut().unwrap().pos = pos as u32;
            }
            if r.fds.is_empty() {
                let key = std::mem::take(&mut r.key);
                r.pending = Vec::new();
                self.names.remove(&key);
                self.free.push(c.room);
            }
        }
        unsafe { libc::close(fd) };
    }
    fn upgrade(&mut self, fd: i32, head: &[u8]) -> bool {
        let h = String::from_utf8_lossy(head);
        let path = h.split(' ').nth(1).unwrap_or("/").to_string();
        let mut key = None;
        for l in h.lines() {
            if l.len() > 18 && l[..18].eq_ignore_ascii_case("sec-websocket-key:") {
                key = Some(l[18..].trim().to_string());
            }
        }
        let Some(key) = key else {
            self.push(fd, b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
            return false;
        };
        let room = if path.starts_with("/parties/echo/") {
            ECHO
        } else {
            match self.names.get(&path) {
                Some(r) => *r,
                None => {
                    let new = Room { fds: Vec::new(), pending: Vec::new(), key: path.clone() };
                    let id = match self.free.pop() {
                        Some(id) => {
                            self.rooms[id as usize] = new;
                            id
                        }
                        None => {
                            self.rooms.push(new);
                            self.rooms.len() as u32 - 1
                        }
                    };
                    self.names.insert(path, id);
                    id
                }
            }
        };
        let reply = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            hash::accept(&key)
        );
        self.push(fd, reply.as_bytes());
        let c = self.conns[fd as usize].as_mut().unwrap();
        c.room = room;
        if room < ECHO {
            let r = &mut self.rooms[room as usize];
            c.pos = r.fds.len() as u32;
            r.fds.push(fd);
        }
        true
    }
    fn read(&mut self, fd: i32, buf: &mut [u8]) {
        let Some(c) = self.conns[fd as usize].as_mut() else { return };
        let held = c.held.len();
        buf[..held].copy_from_slice(&c.held);
        c.held = Vec::new();
        let n = unsafe { libc::recv(fd, buf[held..].as_mut_ptr() as *mut _, buf.len() - held, 0) };
        if n <= 0 {
            if n == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::EAGAIN) {
                self.drop_conn(fd);
            }
            return;
        }
        let end = held + n as usize;
        let mut p = 0;
        let mut room = c.room;
        while room == NEW {
            let Some(e) = buf[p..end].windows(4).position(|w| w == b"\r\n\r\n") else { break };
            let head = buf[p..p + e].to_vec();
            p += e + 4;
            if self.upgrade(fd, &head) {
                room = self.conns[fd as usize].as_ref().unwrap().room;
            }
        }
        while room != NEW && end - p >= 6 {
            let op = buf[p] & 15;
            let (hl, len) = match buf[p + 1] & 127 {
                126 if end - p >= 8 => (4, u16::from_be_bytes([buf[p + 2], buf[p + 3]]) as usize),
                127 if end - p >= 14 => {
                    (10, u64::from_be_bytes(buf[p + 2..p + 10].try_into().unwrap()) as usize)
                }
                126 | 127 => break,
                n => (2, n as usize),
            };
            if end - p < hl + 4 + len {
                break;
            }
            let mask = [buf[p + hl], buf[p + hl + 1], buf[p + hl + 2], buf[p + hl + 3]];
            let s = p + hl + 4;
            for (k, b) in buf[s..s + len].iter_mut().enumerate() {
                *b ^= mask[k & 3];
            }
            p = s + len;
            let pay = &buf[s..s + len];
            match op {
                1 | 2 => self.message(fd, room, op, pay),
                8 => {
                    let mut f = Vec::new();
                    Self::head(8, len, &mut f);
                    f.extend_from_slice(pay);
                    self.push(fd, &f);
                    self.closing.push(fd);
                    return;
                }
                9 => {
                    let mut f = Vec::new();
                    Self::head(10, len, &mut f);
                    f.extend_from_slice(pay);
                    self.push(fd, &f);
                }
                _ => {}
            }
        }
        if p < end {
            if let Some(c) = self.conns[fd as usize].as_mut() {
                c.held.extend_from_slice(&buf[p..end]);
            }
        }
    }
}

fn main() {
    let port: u16 = std::env::args().nth(1).and_then(|p| p.parse().ok()).unwrap_or(9006);
    let mode = match std::env::args().nth(2).as_deref() {
        Some("coalesce") => Mode::Coalesce,
        Some("uring") => Mode::Uring,
        _ => Mode::Write,
    };
    let ring = (mode == Mode::Uring).then(|| {
        IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(4096)
            .build(1024)
            .expect("io_uring")
    });
    unsafe {
        let mut r: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut r);
        r.rlim_cur = r.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &r);
        let l = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0);
        let one = 1i32;
        libc::setsockopt(l, libc::SOL_SOCKET, libc::SO_REUSEADDR, &one as *const _ as *const _, 4);
        let mut sa: libc::sockaddr_in = std::mem::zeroed();
        sa.sin_family = libc::AF_INET as u16;
        sa.sin_port = port.to_be();
        sa.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        assert_eq!(libc::bind(l, &sa as *const _ as *const _, 16), 0, "bind");
        assert_eq!(libc::listen(l, 4096), 0);
        let ep = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        let mut ev = libc::epoll_event { events: libc::EPOLLIN as u32, u64: l as u64 };
        libc::epoll_ctl(ep, libc::EPOLL_CTL_ADD, l, &mut ev);
        let mut s = S {
            ep,
            mode,
            conns: Vec::new(),
            rooms: Vec::new(),
            names: HashMap::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            ring,
            closing: Vec::new(),
        };
        let mut buf = vec![0u8; 1 << 21];
        let mut evs: Vec<libc::epoll_event> = vec![std::mem::zeroed(); 1024];
        loop {
            let n = libc::epoll_wait(ep, evs.as_mut_ptr(), 1024, -1).max(0) as usize;
            for ev in &evs[..n] {
                let fd = ev.u64 as i32;
                if fd == l {
                    for _ in 0..256 {
                        let c = libc::accept4(
                            l,
                            std::ptr::null_mut(),
                            std::ptr::null_mut(),
                            libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
                        );
                        if c < 0 {
                            break;
                        }
                        libc::setsockopt(
                            c,
                            libc::IPPROTO_TCP,
                            libc::TCP_NODELAY,
                            &one as *const _ as *const _,
                            4,
                        );
                        if s.conns.len() <= c as usize {
                            s.conns.resize_with(c as usize + 1, || None);
                        }
                        s.conns[c as usize] =
                            Some(Box::new(Conn { room: NEW, pos: 0, held: Vec::new(), out: Vec::new() }));
                        let mut ev = libc::epoll_event { events: libc::EPOLLIN as u32, u64: c as u64 };
                        libc::epoll_ctl(ep, libc::EPOLL_CTL_ADD, c, &mut ev);
                    }
                    continue;
                }
                if ev.events as i32 & libc::EPOLLOUT != 0 {
                    if let Some(c) = s.conns[fd as usize].as_mut() {
                        let n = send(fd, &c.out).max(0) as usize;
                        c.out.drain(..n);
                        if c.out.is_empty() {
                            c.out = Vec::new();
                            s.arm(fd, false);
                        }
                    }
                }
                if ev.events as i32 & !libc::EPOLLOUT != 0 {
                    s.read(fd, &mut buf);
                }
            }
            s.flush();
            while let Some(fd) = s.closing.pop() {
                s.drop_conn(fd);
            }
        }
    }
}
