//! Load generator and measuring harness for WebSocket room servers.
//! Each run is bounded in count and in time and prints one JSON object.
mod io;
mod stats;

use io::{Conn, Handler, Io, St, Target};
use stats::{Hist, Mem, Server, cpu_json, now_ns, self_cpu_ns};
use std::collections::HashMap;

const HELP: &str = "load <mode> --url ws://127.0.0.1:PORT/parties/main/{room} [--pid P[,P..]] [--tree 1] ...
modes
  fanout   --conns N --msgs M --size S [--window W | --rate R] [--senders K]   one room, everyone receives all
  rooms    --rooms R --per K --rate r --secs T --size S                        every conn sends r msg/s to its room
  echo     --conns N --msgs M --size S [--window W]                            per-conn ping-pong, M in all
  idle     --conns N --hold T [--rooms R]                                      memory per idle connection
  churn    --count N --concurrency C [--size S]                                connect, one message back, close
  http     --conns C --count N --method GET|POST --body B                      keep-alive requests
  restart  --conns N --secs T                                                  hold, wait for the server to die, reconnect all
common: --limit SECONDS (hard bound, default 120) --src A (spread over A loopback source addresses) --label TEXT";

struct Args(HashMap<String, String>);
impl Args {
    fn s(&self, k: &str, d: &str) -> String {
        self.0.get(k).cloned().unwrap_or_else(|| d.to_string())
    }
    fn n(&self, k: &str, d: u64) -> u64 {
        self.0.get(k).map(|v| v.parse().unwrap_or_else(|_| panic!("--{k} wants a number"))).unwrap_or(d)
    }
    fn f(&self, k: &str, d: f64) -> f64 {
        self.0.get(k).map(|v| v.parse().unwrap_or_else(|_| panic!("--{k} wants a number"))).unwrap_or(d)
    }
}

const HDR: usize = 32;
fn hex(out: &mut [u8], mut v: u64) {
    for b in out.iter_mut().rev() {
        *b = b"0123456789abcdef"[(v & 15) as usize];
        v >>= 4;
    }
}
#[inline]
fn unhex(b: &[u8]) -> u64 {
    let mut v = 0u64;
    for c in b {
        let d = if *c >= b'a' { c - b'a' + 10 } else { c.wrapping_sub(b'0') };
        v = (v << 4) | (d & 15) as u64;
    }
    v
}
/// 8 hex digits sender, 8 sequence, 16 scheduled send time in ns, then filler.
fn fill(p: &mut [u8], sender: u32, seq: u32, at: u64) {
    hex(&mut p[0..8], sender as u64);
    hex(&mut p[8..16], seq as u64);
    hex(&mut p[16..32], at);
}

/// Checks order per (receiver, sender) and measures delivery time.
struct Rx {
    hist: Hist,
    measuring: bool,
    got: u64,
    bad: u64,
    closed: u64,
    senders: usize,
    next: Vec<u32>,
    size: usize,
}
impl Rx {
    fn new(conns: usize, senders: usize, size: usize) -> Rx {
        Rx {
            hist: Hist::new(),
            measuring: false,
            got: 0,
            bad: 0,
            closed: 0,
            senders,
            next: vec![0; conns * senders],
            size,
        }
    }
}
impl Handler for Rx {
    #[inline]
    fn msg(&mut self, _io: &mut Io, i: usize, p: &[u8], now: u64) {
        if p.len() != self.size {
            self.bad += 1;
            return;
        }
        let s = unhex(&p[0..8]) as usize;
        let q = unhex(&p[8..16]) as u32;
        let slot = &mut self.next[i * self.senders + s % self.senders];
        if *slot != q {
            self.bad += 1;
        }
        *slot = q + 1;
        self.got += 1;
        if self.measuring {
            self.hist.add(now.saturating_sub(unhex(&p[16..32])));
        }
    }
    fn closed(&mut self, _io: &mut Io, _i: usize, _w: &'static str) {
        self.closed += 1;
    }
}

fn connect<H: Handler>(
    io: &mut Io,
    h: &mut H,
    t: &Target,
    n: usize,
    room: impl Fn(usize) -> String,
    http: bool,
    deadline: u64,
) -> Hist {
    let mut hist = Hist::new();
    let base = io.conns.len();
    let mut tries = 0;
    let mut noted = vec![false; n];
    while io.open < base + n {
        while io.conns.len() < base + n && io.conns.len() - io.open.min(io.conns.len()) < 128 {
            let i = io.conns.len();
            let req = if http { Vec::new() } else { t.upgrade(&room(i - base), i) };
            if !io.dial(i, t, req) {
                tries += 1;
                break;
            }
        }
        io.turn(h, 20_000_000);
        if io.conns.len() == base + n || io.conns.len() % 64 == 0 {
            let now = now_ns();
            for k in 0..io.conns.len() - base {
                if !noted[k] && matches!(io.conns[base + k].st, St::Open | St::Http) {
                    noted[k] = true;
                    hist.add(now - io.conns[base + k].t0);
                }
            }
        }
        if now_ns() > deadline || tries > 50 || io.errors > 50 {
            eprintln!("connect: only {} of {} open, {} errors", io.open, n, io.errors);
            std::process::exit(3);
        }
    }
    hist
}

fn memj(k: &str, m: Mem) -> String {
    format!("\"{k}\":{{\"rss\":{},\"pss\":{},\"anon\":{}}}", m.rss, m.pss, m.anon)
}

fn settle<H: Handler>(io: &mut Io, h: &mut H, secs: f64) {
    let end = now_ns() + (secs * 1e9) as u64;
    while now_ns() < end {
        io.turn(h, 10_000_000);
    }
}

fn main() {
    let av: Vec<String> = std::env::args().collect();
    if av.len() < 2 {
        eprintln!("{HELP}");
        std::process::exit(2);
    }
    let mode = av[1].clone();
    let mut m = HashMap::new();
    let mut k = 2;
    while k + 1 < av.len() {
        m.insert(av[k].trim_start_matches('-').to_string(), av[k + 1].clone());
        k += 2;
    }
    let a = Args(m);
    let t = Target::parse(&a.s("url", "ws://127.0.0.1:8787/parties/main/{room}"));
    let srv = Server::new(&a.s("pid", ""), a.n("tree", 0) == 1);
    let deadline = now_ns() + a.n("limit", 120) * 1_000_000_000;
    unsafe {
        let mut r: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut r);
        r.rlim_cur = r.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &r);
    }
    let body = match mode.as_str() {
        "fanout" => fanout(&a, &t, &srv, deadline),
        "rooms" => rooms(&a, &t, &srv, deadline),
        "echo" => echo(&a, &t, &srv, deadline),
        "idle" => idle(&a, &t, &srv, deadline),
        "churn" => churn(&a, &t, &srv, deadline),
        "http" => http(&a, &t, &srv, deadline),
        "restart" => restart(&a, &t, deadline),
        _ => {
            eprintln!("{HELP}");
            std::process::exit(2);
        }
    };
    println!("{{\"mode\":\"{mode}\",\"label\":\"{}\",{body}}}", a.s("label", ""));
}

fn fanout(a: &Args, t: &Target, srv: &Server, deadline: u64) -> String {
    let n = a.n("conns", 100) as usize;
    let m = a.n("msgs", 1000);
    let size = (a.n("size", 100) as usize).max(HDR);
    let rate = a.f("rate", 0.0);
    let w = a.n("window", 1);
    let senders = a.n("senders", 1) as usize;
    let warm = (m / 10).clamp(senders as u64, 2000);
    let mut io = Io::new(a.n("src", 1) as usize);
    let mut rx = Rx::new(n, senders, size);
    connect(&mut io, &mut rx, t, n, |_| "fan".into(), false, deadline);
    settle(&mut io, &mut rx, 0.3);
    let mut pay = vec![b'x'; size];
    let mut tmp = Vec::new();
    let mut seqs = vec![0u32; senders];
    let mut sent = 0u64;
    let (mut s0, mut c0, mut g0) = (srv.snap(), self_cpu_ns(), 0);
    let mut start = now_ns();
    let mut timed_out = false;
    for phase in 0..2 {
        let goal = sent + if phase == 0 { warm } else { m };
        let first = sent;
        if phase == 1 {
            rx.measuring = true;
            s0 = srv.snap();
            c0 = self_cpu_ns();
            g0 = rx.got;
            start = now_ns();
        }
        let p0 = now_ns();
        loop {
            let now = now_ns();
            let mut wait = 200_000_000;
            if rate > 0.0 {
                while sent < goal {
                    let due = p0 + ((sent - first) as f64 / rate * 1e9) as u64;
                    if due > now {
                        wait = due - now;
                        break;
                    }
                    let s = (sent % senders as u64) as usize;
                    fill(&mut pay, s as u32, seqs[s], due);
                    seqs[s] += 1;
                    io.send_frame(s * (n / senders), 1, &pay, &mut tmp);
                    sent += 1;
                }
            } else {
                while sent < goal && sent * n as u64 <= rx.got + (w - 1) * n as u64 {
                    let s = (sent % senders as u64) as usize;
                    fill(&mut pay, s as u32, seqs[s], now);
                    seqs[s] += 1;
                    io.send_frame(s * (n / senders), 1, &pay, &mut tmp);
                    sent += 1;
                }
            }
            if sent == goal && rx.got >= goal * n as u64 {
                break;
            }
            io.turn(&mut rx, wait);
            if now_ns() > deadline || rx.closed > 0 {
                timed_out = true;
                break;
            }
        }
        if timed_out {
            break;
        }
    }
    let s1 = srv.snap();
    let c1 = self_cpu_ns();
    let _ = start;
    let got = rx.got - g0;
    format!(
        "\"conns\":{n},\"size\":{size},\"window\":{w},\"rate\":{rate},\"senders\":{senders},\"sent\":{sent},\"lost\":{},\"misordered\":{},\"closed\":{},\"timed_out\":{timed_out},\"reads_per_delivery\":{:.3},{},\"latency\":{}",
        (sent * n as u64) as i64 - rx.got as i64,
        rx.bad,
        rx.closed,
        io.reads as f64 / rx.got.max(1) as f64,
        cpu_json(s0, s1, c1 - c0, got, 1_000_000, "cpu_s_per_million"),
        rx.hist.json()
    )
}

fn rooms(a: &Args, t: &Target, srv: &Server, deadline: u64) -> String {
    let r = a.n("rooms", 200) as usize;
    let k = a.n("per", 5) as usize;
    let rate = a.f("rate", 10.0);
    let secs = a.f("secs", 5.0);
    let size = (a.n("size", 100) as usize).max(HDR);
    let n = r * k;
    let mut io = Io::new(a.n("src", 1) as usize);
    let mut rx = Rx::new(n, k, size);
    connect(&mut io, &mut rx, t, n, |i| format!("r{}", i / k), false, deadline);
    settle(&mut io, &mut rx, 0.3);
    let mut pay = vec![b'x'; size];
    let mut tmp = Vec::new();
    let mut seqs = vec![0u32; n];
    let total = rate * n as f64;
    let mut sent = 0u64;
    // A stride coprime with n walks all connections, rooms interleaved.
    let mut stride = (n as f64 * 0.618) as usize | 1;
    while gcd(stride, n) != 1 {
        stride += 2;
    }
    let (mut s0, mut c0, mut g0) = (srv.snap(), self_cpu_ns(), 0);
    let mut timed_out = false;
    for phase in 0..2 {
        let first = sent;
        let goal = sent + (total * if phase == 0 { (secs * 0.2).min(1.0) } else { secs }) as u64;
        if phase == 1 {
            rx.measuring = true;
            s0 = srv.snap();
            c0 = self_cpu_ns();
            g0 = rx.got;
        }
        let p0 = now_ns();
        loop {
            let now = now_ns();
            let mut wait = 200_000_000;
            while sent < goal {
                let due = p0 + ((sent - first) as f64 / total * 1e9) as u64;
                if due > now {
                    wait = due - now;
                    break;
                }
                let i = (sent as usize).wrapping_mul(stride) % n;
                fill(&mut pay, (i % k) as u32, seqs[i], due);
                seqs[i] += 1;
                io.send_frame(i, 1, &pay, &mut tmp);
                sent += 1;
            }
            if sent == goal && rx.got >= goal * k as u64 {
                break;
            }
            io.turn(&mut rx, wait);
            if now_ns() > deadline || rx.closed > 0 {
                timed_out = true;
                break;
            }
        }
        if timed_out {
            break;
        }
    }
    let s1 = srv.snap();
    let c1 = self_cpu_ns();
    format!(
        "\"rooms\":{r},\"per\":{k},\"rate\":{rate},\"size\":{size},\"sent\":{sent},\"lost\":{},\"misordered\":{},\"closed\":{},\"timed_out\":{timed_out},{},\"latency\":{}",
        (sent * k as u64) as i64 - rx.got as i64,
        rx.bad,
        rx.closed,
        cpu_json(s0, s1, c1 - c0, rx.got - g0, 1_000_000, "cpu_s_per_million"),
        rx.hist.json()
    )
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

struct Echo {
    hist: Hist,
    goal: u64,
    sent: u64,
    got: u64,
    bad: u64,
    closed: u64,
    tx: Vec<u32>,
    rxq: Vec<u32>,
    pay: Vec<u8>,
    tmp: Vec<u8>,
}
impl Echo {
    fn shoot(&mut self, io: &mut Io, i: usize, now: u64) {
        if self.sent < self.goal {
            fill(&mut self.pay, 0, self.tx[i], now);
            self.tx[i] += 1;
            self.sent += 1;
            io.send_frame(i, 1, &self.pay, &mut self.tmp);
        }
    }
}
impl Handler for Echo {
    fn msg(&mut self, io: &mut Io, i: usize, p: &[u8], now: u64) {
        if p.len() != self.pay.len() || unhex(&p[8..16]) as u32 != self.rxq[i] {
            self.bad += 1;
        } else {
            self.hist.add(now.saturating_sub(unhex(&p[16..32])));
        }
        self.rxq[i] += 1;
        self.got += 1;
        self.shoot(io, i, now);
    }
    fn closed(&mut self, _io: &mut Io, _i: usize, _w: &'static str) {
        self.closed += 1;
    }
}

fn echo(a: &Args, t: &Target, srv: &Server, deadline: u64) -> String {
    let n = a.n("conns", 64) as usize;
    let m = a.n("msgs", 200_000);
    let size = (a.n("size", 100) as usize).max(HDR);
    let w = a.n("window", 1);
    let mut io = Io::new(a.n("src", 1) as usize);
    let mut h = Echo {
        hist: Hist::new(),
        goal: 0,
        sent: 0,
        got: 0,
        bad: 0,
        closed: 0,
        tx: vec![0; n],
        rxq: vec![0; n],
        pay: vec![b'x'; size],
        tmp: Vec::new(),
    };
    connect(&mut io, &mut h, t, n, |i| format!("e{i}"), false, deadline);
    settle(&mut io, &mut h, 0.3);
    let (mut s0, mut c0) = (srv.snap(), self_cpu_ns());
    let mut timed_out = false;
    for phase in 0..2 {
        if phase == 1 {
            h.hist = Hist::new();
            s0 = srv.snap();
            c0 = self_cpu_ns();
        }
        h.goal += if phase == 0 { m / 10 } else { m };
        for _ in 0..w {
            for i in 0..n {
                h.shoot(&mut io, i, now_ns());
            }
        }
        while h.got < h.goal {
            io.turn(&mut h, 200_000_000);
            if now_ns() > deadline || h.closed > 0 {
                timed_out = true;
                break;
            }
        }
        if timed_out {
            break;
        }
    }
    let s1 = srv.snap();
    let c1 = self_cpu_ns();
    format!(
        "\"conns\":{n},\"size\":{size},\"window\":{w},\"bad\":{},\"closed\":{},\"timed_out\":{timed_out},{},\"latency\":{}",
        h.bad,
        h.closed,
        cpu_json(s0, s1, c1 - c0, h.hist.n, 1_000_000, "cpu_s_per_million"),
        h.hist.json()
    )
}

struct Quiet {
    closed: u64,
    got: u64,
}
impl Handler for Quiet {
    fn msg(&mut self, _io: &mut Io, _i: usize, _p: &[u8], _n: u64) {
        self.got += 1;
    }
    fn closed(&mut self, _io: &mut Io, _i: usize, _w: &'static str) {
        self.closed += 1;
    }
}

fn idle(a: &Args, t: &Target, srv: &Server, deadline: u64) -> String {
    let n = a.n("conns", 10_000) as usize;
    let hold = a.f("hold", 3.0);
    let rooms = (a.n("rooms", 1) as usize).max(1);
    let base = a.n("base", 0) as usize;
    let src = a.n("src", if n > 20_000 { (n / 20_000 + 1) as u64 } else { 1 }) as usize;
    let mut io = Io::new(src);
    let mut h = Quiet { closed: 0, got: 0 };
    if base > 0 {
        connect(&mut io, &mut h, t, base, |i| format!("i{}", i % rooms), false, deadline);
        settle(&mut io, &mut h, 0.5);
    }
    let m0 = srv.mem();
    let s0 = srv.snap();
    let c0 = self_cpu_ns();
    let hist = connect(&mut io, &mut h, t, n, |i| format!("i{}", i % rooms), false, deadline);
    let s1 = srv.snap();
    let c1 = self_cpu_ns();
    settle(&mut io, &mut h, 1.0);
    let m1 = srv.mem();
    let q0 = srv.snap();
    settle(&mut io, &mut h, hold);
    let q1 = srv.snap();
    let m2 = srv.mem();
    format!(
        "\"conns\":{n},\"base\":{base},\"rooms\":{rooms},\"closed\":{},\"hold_s\":{hold},\"idle_cpu_s\":{:.4},\"rss_per_conn\":{:.0},\"pss_per_conn\":{:.0},\"anon_per_conn\":{:.0},{},{},{},{},\"connect\":{}",
        h.closed,
        (q1.cpu_ns - q0.cpu_ns) as f64 / 1e9,
        (m2.rss as f64 - m0.rss as f64) / n as f64,
        (m2.pss as f64 - m0.pss as f64) / n as f64,
        (m2.anon as f64 - m0.anon as f64) / n as f64,
        memj("mem_before", m0),
        memj("mem_open", m1),
        memj("mem_after_hold", m2),
        cpu_json(s0, s1, c1 - c0, n as u64, 10_000, "cpu_s_per_10k_connects"),
        hist.json()
    )
}

struct Churn {
    hist: Hist,
    done: u64,
    bad: u64,
    free: Vec<usize>,
    pay: Vec<u8>,
    tmp: Vec<u8>,
    closing: Vec<bool>,
}
impl Handler for Churn {
    fn open(&mut self, io: &mut Io, i: usize) {
        let (p, mut tmp) = (std::mem::take(&mut self.pay), std::mem::take(&mut self.tmp));
        io.send_frame(i, 1, &p, &mut tmp);
        (self.pay, self.tmp) = (p, tmp);
    }
    fn msg(&mut self, io: &mut Io, i: usize, p: &[u8], now: u64) {
        if p.len() != self.pay.len() || self.closing[i] {
            self.bad += 1;
            return;
        }
        self.hist.add(now - io.conns[i].t0);
        self.closing[i] = true;
        let mut tmp = std::mem::take(&mut self.tmp);
        io.send_frame(i, 8, &[0x03, 0xe8], &mut tmp);
        self.tmp = tmp;
    }
    fn closed(&mut self, _io: &mut Io, i: usize, _w: &'static str) {
        if !self.closing[i] {
            self.bad += 1;
        }
        self.closing[i] = false;
        self.done += 1;
        self.free.push(i);
    }
}

fn churn(a: &Args, t: &Target, srv: &Server, deadline: u64) -> String {
    let n = a.n("count", 10_000);
    let c = a.n("concurrency", 64) as usize;
    let size = (a.n("size", 100) as usize).max(HDR);
    let mut io = Io::new(a.n("src", 4) as usize);
    let mut h = Churn {
        hist: Hist::new(),
        done: 0,
        bad: 0,
        free: (0..c).rev().collect(),
        pay: vec![b'x'; size],
        tmp: Vec::new(),
        closing: vec![false; c],
    };
    for _ in 0..c {
        io.conns.push(Conn::dead());
    }
    let warm = n / 10;
    let (mut s0, mut c0) = (srv.snap(), self_cpu_ns());
    let mut begun = 0u64;
    let mut timed_out = false;
    let mut measured = false;
    while h.done < warm + n {
        if !measured && h.done >= warm {
            measured = true;
            h.hist = Hist::new();
            s0 = srv.snap();
            c0 = self_cpu_ns();
        }
        while begun < warm + n {
            let Some(i) = h.free.pop() else { break };
            let room = format!("u{begun}");
            if !io.dial(i, t, t.upgrade(&room, begun as usize)) {
                h.free.push(i);
                break;
            }
            begun += 1;
        }
        io.turn(&mut h, 200_000_000);
        if now_ns() > deadline || io.errors > 200 {
            timed_out = true;
            break;
        }
    }
    let s1 = srv.snap();
    let c1 = self_cpu_ns();
    format!(
        "\"count\":{n},\"concurrency\":{c},\"bad\":{},\"errors\":{},\"timed_out\":{timed_out},{},\"connect_to_message\":{}",
        h.bad,
        io.errors,
        cpu_json(s0, s1, c1 - c0, n.min(h.done.saturating_sub(warm)), 10_000, "cpu_s_per_10k_connects"),
        h.hist.json()
    )
}

struct Http {
    hist: Hist,
    req: Vec<u8>,
    sent: u64,
    goal: u64,
    done: u64,
    bad: u64,
    closed: u64,
}
impl Http {
    fn fire(&mut self, io: &mut Io, i: usize) {
        if self.sent < self.goal {
            self.sent += 1;
            io.conns[i].t0 = now_ns();
            let r = std::mem::take(&mut self.req);
            io.raw_send(i, &r);
            self.req = r;
        }
    }
}
impl Handler for Http {
    fn msg(&mut self, _io: &mut Io, _i: usize, _p: &[u8], _n: u64) {}
    fn closed(&mut self, _io: &mut Io, _i: usize, _w: &'static str) {
        self.closed += 1;
    }
    fn http(&mut self, io: &mut Io, i: usize, now: u64) {
        let b = &io.conns[i].held;
        let Some(e) = b.windows(4).position(|w| w == b"\r\n\r\n") else { return };
        let head = String::from_utf8_lossy(&b[..e]).to_ascii_lowercase();
        let total = if let Some(p) = head.find("content-length:") {
            let v = head[p + 15..].lines().next().unwrap_or("").trim().parse::<usize>().unwrap_or(0);
            e + 4 + v
        } else if head.contains("transfer-encoding: chunked") {
            match b[e + 4..].windows(5).position(|w| w == b"0\r\n\r\n") {
                Some(p) => e + 4 + p + 5,
                None => return,
            }
        } else {
            e + 4
        };
        if b.len() < total {
            return;
        }
        if !head.starts_with("http/1.1 2") {
            self.bad += 1;
        }
        self.done += 1;
        self.hist.add(now - io.conns[i].t0);
        io.conns[i].held.drain(..total);
        self.fire(io, i);
    }
}

fn http(a: &Args, t: &Target, srv: &Server, deadline: u64) -> String {
    let c = a.n("conns", 32) as usize;
    let n = a.n("count", 100_000);
    let method = a.s("method", "GET");
    let blen = a.n("body", if method == "POST" { 100 } else { 0 }) as usize;
    let path = t.path.replace("{room}", "http1");
    let mut req = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", t.host);
    if blen > 0 || method == "POST" {
        req += &format!("Content-Type: text/plain\r\nContent-Length: {blen}\r\n");
    }
    req += "\r\n";
    let mut req = req.into_bytes();
    req.extend(std::iter::repeat(b'x').take(blen));
    let mut io = Io::new(a.n("src", 1) as usize);
    let mut h = Http { hist: Hist::new(), req, sent: 0, goal: 0, done: 0, bad: 0, closed: 0 };
    connect(&mut io, &mut h, t, c, |_| String::new(), true, deadline);
    let (mut s0, mut c0) = (srv.snap(), self_cpu_ns());
    let mut timed_out = false;
    for phase in 0..2 {
        if phase == 1 {
            h.hist = Hist::new();
            s0 = srv.snap();
            c0 = self_cpu_ns();
        }
        h.goal += if phase == 0 { n / 10 } else { n };
        for i in 0..c {
            h.fire(&mut io, i);
        }
        while h.done < h.goal {
            io.turn(&mut h, 200_000_000);
            if now_ns() > deadline || h.closed > 0 {
                timed_out = true;
                break;
            }
        }
        if timed_out {
            break;
        }
    }
    let s1 = srv.snap();
    let c1 = self_cpu_ns();
    format!(
        "\"conns\":{c},\"method\":\"{method}\",\"body\":{blen},\"bad\":{},\"closed\":{},\"timed_out\":{timed_out},{},\"latency\":{}",
        h.bad,
        h.closed,
        cpu_json(s0, s1, c1 - c0, h.hist.n, 100_000, "cpu_s_per_100k_requests"),
        h.hist.json()
    )
}

struct Again {
    lost: Vec<usize>,
    first: u64,
    refused: u64,
}
impl Handler for Again {
    fn msg(&mut self, _io: &mut Io, _i: usize, _p: &[u8], _n: u64) {}
    fn closed(&mut self, _io: &mut Io, i: usize, w: &'static str) {
        if self.first == 0 {
            self.first = now_ns();
        }
        if w == "refused" || w == "handshake" {
            self.refused += 1;
        }
        self.lost.push(i);
    }
}

/// Holds N connections; whoever runs this restarts the server meanwhile; every
/// lost connection is dialled again each 50 ms until all are back.
fn restart(a: &Args, t: &Target, deadline: u64) -> String {
    let n = a.n("conns", 1000) as usize;
    let until = (now_ns() + (a.f("secs", 30.0) * 1e9) as u64).min(deadline);
    let mut io = Io::new(a.n("src", 1) as usize);
    let mut h = Again { lost: Vec::new(), first: 0, refused: 0 };
    connect(&mut io, &mut h, t, n, |i| format!("s{}", i % 100), false, deadline);
    println!("{{\"mode\":\"restart\",\"open\":{n}}}");
    let mut back = 0;
    let mut last_try = 0;
    while now_ns() < until {
        io.turn(&mut h, 10_000_000);
        if !h.lost.is_empty() && now_ns() - last_try > 50_000_000 {
            last_try = now_ns();
            for i in std::mem::take(&mut h.lost) {
                if !io.dial(i, t, t.upgrade(&format!("s{}", i % 100), i)) {
                    h.lost.push(i);
                }
            }
        }
        if h.first > 0 && io.open == n && h.lost.is_empty() {
            back = now_ns();
            break;
        }
    }
    format!(
        "\"conns\":{n},\"first_loss_seen\":{},\"refused\":{},\"all_back\":{},\"outage_s\":{:.3}",
        h.first > 0,
        h.refused,
        back > 0,
        if back > 0 { (back - h.first) as f64 / 1e9 } else { -1.0 }
    )
}
