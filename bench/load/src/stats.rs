//! Histogram, process accounting and clocks.
use std::fs;

pub fn now_ns() -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts) };
    ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
}

/// Log-linear histogram, 64 steps per power of two (under 1.6 % error).
pub struct Hist {
    b: Vec<u64>,
    pub n: u64,
    max: u64,
    sum: u128,
}

impl Hist {
    pub fn new() -> Self {
        Hist { b: vec![0; 64 * 64], n: 0, max: 0, sum: 0 }
    }
    #[inline]
    pub fn add(&mut self, v: u64) {
        let i = if v < 64 {
            v as usize
        } else {
            let e = 63 - v.leading_zeros() as usize;
            (e - 5) * 64 + ((v >> (e - 6)) & 63) as usize
        };
        self.b[i] += 1;
        self.n += 1;
        self.sum += v as u128;
        if v > self.max {
            self.max = v;
        }
    }
    pub fn q(&self, q: f64) -> u64 {
        if self.n == 0 {
            return 0;
        }
        let want = ((self.n as f64) * q).ceil().max(1.0) as u64;
        let mut c = 0;
        for (i, k) in self.b.iter().enumerate() {
            c += k;
            if c >= want {
                return if i < 64 {
                    i as u64
                } else {
                    let e = i / 64 + 5;
                    (1u64 << e) + (((i % 64) as u64) << (e - 6))
                };
            }
        }
        self.max
    }
    /// JSON object, microseconds.
    pub fn json(&self) -> String {
        let us = |v: u64| v as f64 / 1000.0;
        let mean = if self.n > 0 { self.sum as f64 / self.n as f64 / 1000.0 } else { 0.0 };
        format!(
            "{{\"n\":{},\"mean_us\":{:.1},\"p50_us\":{:.1},\"p90_us\":{:.1},\"p99_us\":{:.1},\"p999_us\":{:.1},\"max_us\":{:.1}}}",
            self.n,
            mean,
            us(self.q(0.5)),
            us(self.q(0.9)),
            us(self.q(0.99)),
            us(self.q(0.999)),
            us(self.max)
        )
    }
}

/// The server under test: one PID, several, or a PID with all its descendants.
#[derive(Clone)]
pub struct Server {
    pids: Vec<i32>,
    tree: bool,
}

#[derive(Clone, Copy, Default)]
pub struct Snap {
    pub cpu_ns: u64,
    pub user_ticks: u64,
    pub sys_ticks: u64,
    pub at_ns: u64,
}

#[derive(Clone, Copy, Default, Debug)]
pub struct Mem {
    pub rss: u64,
    pub pss: u64,
    pub anon: u64,
}

impl Server {
    pub fn new(pids: &str, tree: bool) -> Self {
        let pids = pids.split(',').filter_map(|s| s.trim().parse().ok()).filter(|p| *p > 0).collect();
        Server { pids, tree }
    }
    fn all(&self) -> Vec<i32> {
        let mut v = self.pids.clone();
        if self.tree {
            let mut i = 0;
            while i < v.len() {
                let p = v[i];
                i += 1;
                if let Ok(tasks) = fs::read_dir(format!("/proc/{p}/task")) {
                    for t in tasks.flatten() {
                        let f = t.path().join("children");
                        for c in fs::read_to_string(f).unwrap_or_default().split_whitespace() {
                            if let Ok(c) = c.parse() {
                                if !v.contains(&c) {
                                    v.push(c);
                                }
                            }
                        }
                    }
                }
            }
        }
        v
    }
    /// CPU time so far. `cpu_ns` comes from the kernel's per-process CPU clock
    /// (nanoseconds, all threads); ticks give the user/system split.
    pub fn snap(&self) -> Snap {
        let mut s = Snap { at_ns: now_ns(), ..Default::default() };
        for p in self.all() {
            let clock = ((!p) << 3) | 2;
            let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            if unsafe { libc::clock_gettime(clock, &mut ts) } == 0 {
                s.cpu_ns += ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64;
            }
            if let Ok(st) = fs::read_to_string(format!("/proc/{p}/stat")) {
                if let Some(i) = st.rfind(')') {
                    let f: Vec<&str> = st[i + 2..].split(' ').collect();
                    s.user_ticks += f[11].parse::<u64>().unwrap_or(0);
                    s.sys_ticks += f[12].parse::<u64>().unwrap_or(0);
                }
            }
        }
        s
    }
    pub fn mem(&self) -> Mem {
        let mut m = Mem::default();
        for p in self.all() {
            for l in fs::read_to_string(format!("/proc/{p}/smaps_rollup")).unwrap_or_default().lines() {
                let kb = |l: &str| {
                    l.split_whitespace().nth(1).and_then(|x| x.parse::<u64>().ok()).unwrap_or(0) * 1024
                };
                if l.starts_with("Rss:") {
                    m.rss += kb(l);
                } else if l.starts_with("Pss:") {
                    m.pss += kb(l);
                } else if l.starts_with("Anonymous:") {
                    m.anon += kb(l);
                }
            }
        }
        m
    }
}

pub fn self_cpu_ns() -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut ts) };
    ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
}

/// The usual tail of each report: server CPU over the interval and per unit.
pub fn cpu_json(a: Snap, b: Snap, self_ns: u64, units: u64, per: u64, unit: &str) -> String {
    let cpu = b.cpu_ns.saturating_sub(a.cpu_ns) as f64 / 1e9;
    let u = (b.user_ticks - a.user_ticks) as f64 / 100.0;
    let s = (b.sys_ticks - a.sys_ticks) as f64 / 100.0;
    let wall = (b.at_ns - a.at_ns) as f64 / 1e9;
    format!(
        "\"wall_s\":{:.3},\"server_cpu_s\":{:.3},\"server_user_s\":{:.2},\"server_sys_s\":{:.2},\"load_cpu_s\":{:.3},\"units\":{},\"units_per_s\":{:.0},\"{}\":{:.4}",
        wall,
        cpu,
        u,
        s,
        self_ns as f64 / 1e9,
        units,
        units as f64 / wall,
        unit,
        if units > 0 { cpu * per as f64 / units as f64 } else { 0.0 }
    )
}
