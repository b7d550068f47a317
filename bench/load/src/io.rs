//! A minimal WebSocket client over nonblocking sockets and epoll: one thread,
//! one shared read buffer, no allocation per frame.
use crate::stats::now_ns;
use std::io::Error;

pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASK: [u8; 4] = [0x5a, 0x13, 0xc7, 0x2e];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum St {
    Connecting,
    Handshake,
    Open,
    Http,
    Dead,
}

pub struct Conn {
    pub fd: i32,
    pub st: St,
    pub held: Vec<u8>,
    pub out: Vec<u8>,
    pub req: Vec<u8>,
    pub t0: u64,
    pub want_out: bool,
}

pub struct Target {
    pub port: u16,
    pub host: String,
    pub path: String,
}

impl Target {
    pub fn parse(url: &str) -> Target {
        let rest = url.split("://").nth(1).unwrap_or(url);
        let (hp, path) = match rest.find('/') {
            Some(i) => (&rest[..i], &rest[i..]),
            None => (rest, "/"),
        };
        let port = hp.split(':').nth(1).and_then(|p| p.parse().ok()).unwrap_or(80);
        assert!(hp.starts_with("127.") || hp.starts_with("localhost"), "loopback only");
        Target { port, host: hp.to_string(), path: path.to_string() }
    }
    pub fn upgrade(&self, room: &str, id: usize) -> Vec<u8> {
        let p = self.path.replace("{room}", room).replace("{id}", &format!("c{id}"));
        format!(
            "GET {p} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n",
            self.host
        )
        .into_bytes()
    }
}

pub trait Handler {
    fn open(&mut self, _io: &mut Io, _i: usize) {}
    fn msg(&mut self, io: &mut Io, i: usize, payload: &[u8], now: u64);
    fn closed(&mut self, _io: &mut Io, _i: usize, _why: &'static str) {}
    /// Raw bytes of a plain HTTP connection.
    fn http(&mut self, _io: &mut Io, _i: usize, _now: u64) {}
}

pub struct Io {
    ep: i32,
    pub conns: Vec<Conn>,
    buf: Vec<u8>,
    evs: Vec<libc::epoll_event>,
    pub open: usize,
    pub reads: u64,
    pub errors: u64,
    src_addrs: usize,
    nsock: usize,
}

impl Io {
    pub fn new(src_addrs: usize) -> Io {
        let ep = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        assert!(ep >= 0);
        Io {
            ep,
            conns: Vec::new(),
            buf: vec![0; 1 << 18],
            evs: vec![unsafe { std::mem::zeroed() }; 1024],
            open: 0,
            reads: 0,
            errors: 0,
            src_addrs,
            nsock: 0,
        }
    }

    pub fn socket(&mut self, t: &Target) -> Result<i32, Error> {
        unsafe {
            let fd =
                libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0);
            if fd < 0 {
                return Err(Error::last_os_error());
            }
            let one: i32 = 1;
            let p = &one as *const i32 as *const libc::c_void;
            libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, p, 4);
            let mut sa: libc::sockaddr_in = std::mem::zeroed();
            sa.sin_family = libc::AF_INET as u16;
            if self.src_addrs > 1 {
                libc::setsockopt(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, p, 4);
                let last = 2 + (self.nsock % self.src_addrs) as u8;
                sa.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, last]);
                if libc::bind(fd, &sa as *const _ as *const libc::sockaddr, 16) != 0 {
                    let e = Error::last_os_error();
                    libc::close(fd);
                    return Err(e);
                }
            }
            self.nsock += 1;
            sa.sin_port = t.port.to_be();
            sa.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
            if libc::connect(fd, &sa as *const _ as *const libc::sockaddr, 16) != 0 {
                let e = Error::last_os_error();
                if e.raw_os_error() != Some(libc::EINPROGRESS) {
                    libc::close(fd);
                    return Err(e);
                }
            }
            Ok(fd)
        }
    }

    fn ctl(&mut self, op: i32, i: usize, out: bool) {
        let mut ev = libc::epoll_event {
            events: (libc::EPOLLIN | libc::EPOLLRDHUP | if out { libc::EPOLLOUT } else { 0 }) as u32,
            u64: i as u64,
        };
        unsafe { libc::epoll_ctl(self.ep, op, self.conns[i].fd, &mut ev) };
    }

    /// Start a connection in slot `i` (or a new slot when `i` is the length).
    pub fn dial(&mut self, i: usize, t: &Target, req: Vec<u8>) -> bool {
        let fd = match self.socket(t) {
            Ok(fd) => fd,
            Err(_) => {
                self.errors += 1;
                return false;
            }
        };
        let c = Conn {
            fd,
            st: St::Connecting,
            held: Vec::new(),
            out: Vec::new(),
            req,
            t0: now_ns(),
            want_out: true,
        };
        if i == self.conns.len() {
            self.conns.push(c);
        } else {
            self.conns[i] = c;
        }
        self.ctl(libc::EPOLL_CTL_ADD, i, true);
        true
    }

    pub fn kill(&mut self, i: usize) {
        let c = &mut self.conns[i];
        if c.st == St::Dead {
            return;
        }
        if c.st == St::Open || c.st == St::Http {
            self.open -= 1;
        }
        c.st = St::Dead;
        unsafe { libc::close(c.fd) };
        c.fd = -1;
    }

    pub fn raw_send(&mut self, i: usize, data: &[u8]) {
        let c = &mut self.conns[i];
        if c.st == St::Dead {
            return;
        }
        let mut off = 0;
        if c.out.is_empty() {
            let n = unsafe { libc::send(c.fd, data.as_ptr() as *const _, data.len(), libc::MSG_NOSIGNAL) };
            if n > 0 {
                off = n as usize;
            }
        }
        if off < data.len() {
            c.out.extend_from_slice(&data[off..]);
            if !c.want_out {
                c.want_out = true;
                self.ctl(libc::EPOLL_CTL_MOD, i, true);
            }
        }
    }

    pub fn send_frame(&mut self, i: usize, op: u8, payload: &[u8], tmp: &mut Vec<u8>) {
        tmp.clear();
        tmp.push(0x80 | op);
        let n = payload.len();
        if n < 126 {
            tmp.push(0x80 | n as u8);
        } else if n < 65536 {
            tmp.push(0x80 | 126);
            tmp.extend_from_slice(&(n as u16).to_be_bytes());
        } else {
            tmp.push(0x80 | 127);
            tmp.extend_from_slice(&(n as u64).to_be_bytes());
        }
        tmp.extend_from_slice(&MASK);
        tmp.extend(payload.iter().enumerate().map(|(k, b)| b ^ MASK[k & 3]));
        self.raw_send(i, tmp);
    }

    /// Wait up to `timeout_ns`, then handle what is ready. Returns events seen.
    pub fn turn<H: Handler>(&mut self, h: &mut H, timeout_ns: u64) -> usize {
        let ts = libc::timespec {
            tv_sec: (timeout_ns / 1_000_000_000) as i64,
            tv_nsec: (timeout_ns % 1_000_000_000) as i64,
        };
        let mut evs = std::mem::take(&mut self.evs);
        let n = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.ep,
                evs.as_mut_ptr(),
                evs.len() as i32,
                &ts as *const _,
                0usize,
                8usize,
            )
        };
        let n = n.max(0) as usize;
        for ev in &evs[..n] {
            let (bits, i) = (ev.events as i32, ev.u64 as usize);
            if self.conns[i].st == St::Dead {
                continue;
            }
            if self.conns[i].st == St::Connecting {
                if bits & (libc::EPOLLERR | libc::EPOLLHUP) != 0 {
                    self.errors += 1;
                    self.kill(i);
                    h.closed(self, i, "refused");
                    continue;
                }
                if bits & libc::EPOLLOUT != 0 {
                    let req = std::mem::take(&mut self.conns[i].req);
                    self.conns[i].want_out = false;
                    self.ctl(libc::EPOLL_CTL_MOD, i, false);
                    let ws = !req.is_empty();
                    if ws {
                        self.conns[i].st = St::Handshake;
                        self.raw_send(i, &req);
                    } else {
                        self.conns[i].st = St::Http;
                        self.open += 1;
                        h.open(self, i);
                    }
                }
                continue;
            }
            if bits & libc::EPOLLOUT != 0 {
                let c = &mut self.conns[i];
                let n =
                    unsafe { libc::send(c.fd, c.out.as_ptr() as *const _, c.out.len(), libc::MSG_NOSIGNAL) };
                if n > 0 {
                    c.out.drain(..n as usize);
                }
                if c.out.is_empty() {
                    c.want_out = false;
                    self.ctl(libc::EPOLL_CTL_MOD, i, false);
                }
            }
            if bits & (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) != 0 {
                self.readable(h, i);
            }
        }
        self.evs = evs;
        n
    }

    fn readable<H: Handler>(&mut self, h: &mut H, i: usize) {
        let mut buf = std::mem::take(&mut self.buf);
        loop {
            let held = self.conns[i].held.len();
            if held > 0 {
                if buf.len() < held + 65536 {
                    buf.resize(held + (1 << 18), 0);
                }
                buf[..held].copy_from_slice(&self.conns[i].held);
                self.conns[i].held.clear();
            }
            let fd = self.conns[i].fd;
            let cap = buf.len() - held;
            let n = unsafe { libc::recv(fd, buf[held..].as_mut_ptr() as *mut _, cap, 0) };
            self.reads += 1;
            if n <= 0 {
                let again = n < 0 && Error::last_os_error().raw_os_error() == Some(libc::EAGAIN);
                if again {
                    let keep = buf[..held].to_vec();
                    self.conns[i].held = keep;
                } else {
                    let was = self.conns[i].st;
                    self.kill(i);
                    if was == St::Handshake {
                        self.errors += 1;
                    }
                    h.closed(self, i, if was == St::Handshake { "handshake" } else { "eof" });
                }
                break;
            }
            let end = held + n as usize;
            let used = self.feed(h, i, &buf[..end]);
            if self.conns[i].st == St::Dead {
                break;
            }
            if used < end {
                let c = &mut self.conns[i];
                c.held.extend_from_slice(&buf[used..end]);
            }
            if (n as usize) < cap {
                break;
            }
        }
        self.buf = buf;
    }

    fn feed<H: Handler>(&mut self, h: &mut H, i: usize, b: &[u8]) -> usize {
        let mut p = 0;
        if self.conns[i].st == St::Http {
            self.conns[i].held.extend_from_slice(b);
            h.http(self, i, now_ns());
            return b.len();
        }
        if self.conns[i].st == St::Handshake {
            let Some(e) = b.windows(4).position(|w| w == b"\r\n\r\n") else { return 0 };
            let head = &b[..e];
            let ok = head.starts_with(b"HTTP/1.1 101")
                && head.windows(ACCEPT.len()).any(|w| w == ACCEPT.as_bytes());
            if !ok {
                self.errors += 1;
                self.kill(i);
                h.closed(self, i, "rejected");
                return b.len();
            }
            p = e + 4;
            self.conns[i].st = St::Open;
            self.open += 1;
            h.open(self, i);
        }
        let now = now_ns();
        while b.len() - p >= 2 {
            let op = b[p] & 15;
            let (hl, len) = match b[p + 1] & 127 {
                126 if b.len() - p >= 4 => (4, u16::from_be_bytes([b[p + 2], b[p + 3]]) as usize),
                127 if b.len() - p >= 10 => {
                    (10, u64::from_be_bytes(b[p + 2..p + 10].try_into().unwrap()) as usize)
                }
                126 | 127 => break,
                n => (2, n as usize),
            };
            if b.len() - p < hl + len {
                break;
            }
            let pay = &b[p + hl..p + hl + len];
            p += hl + len;
            match op {
                1 | 2 => {
                    h.msg(self, i, pay, now);
                    if self.conns[i].st == St::Dead {
                        return p;
                    }
                }
                9 => {
                    let mut t = Vec::new();
                    let pay = pay.to_vec();
                    self.send_frame(i, 10, &pay, &mut t);
                }
                8 => {
                    self.kill(i);
                    h.closed(self, i, "close");
                    return p;
                }
                _ => {}
            }
        }
        p
    }
}

impl Conn {
    pub fn dead() -> Conn {
        Conn {
            fd: -1,
            st: St::Dead,
            held: Vec::new(),
            out: Vec::new(),
            req: Vec::new(),
            t0: 0,
            want_out: false,
        }
    }
}
