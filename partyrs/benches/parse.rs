//! What reading a message costs, beside `serde_json` with `#[serde(tag = "type")]`:
//! `cargo bench -p partyrs --bench parse`. Each message is read by both in turn, in small rounds, since the
//! machine may have other work; the last lines tell the median of the ratios of all rounds.
//!
//! Both start from a frame that was received and end with a message, the frame dropped, as in a program.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use partyrs::{Frame, FromFrame};

#[path = "../tests/protocol/mod.rs"]
mod protocol;

use protocol::{Ask, frames};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (name, text) in frames() {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(text.len() as u64));
        let frame = Frame::text(text);
        group.bench_function(BenchmarkId::from_parameter("partyrs"), |bencher| {
            bencher.iter_batched(|| frame.clone(), by_partyrs, BatchSize::SmallInput);
        });
        group.bench_function(BenchmarkId::from_parameter("serde"), |bencher| {
            bencher.iter_batched(|| frame.clone(), by_serde, BatchSize::SmallInput);
        });
        group.finish();
    }
    criterion.final_summary();
    for (name, text) in frames() {
        println!("{name:<24} {:.2} times as fast as serde", ratio(&text));
    }
}

fn by_partyrs(frame: Frame) -> Ask {
    Ask::from_frame(frame).expect("is a message")
}

#[expect(clippy::needless_pass_by_value, reason = "as from_frame takes it")]
fn by_serde(frame: Frame) -> Ask {
    let text = frame.as_text().expect("is text");
    serde_json::from_str(text).expect("is a message")
}

/// The median over rounds in which one follows the other.
fn ratio(text: &str) -> f64 {
    const ROUNDS: usize = 201;
    let frame = Frame::text(text.to_owned());
    let times = (200_000 / text.len()).max(50);
    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let ours = time(vec![frame.clone(); times], by_partyrs);
            let serdes = time(vec![frame.clone(); times], by_serde);
            serdes.as_secs_f64() / ours.as_secs_f64()
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ROUNDS / 2]
}

fn time(frames: Vec<Frame>, read: impl Fn(Frame) -> Ask) -> Duration {
    let start = Instant::now();
    for frame in frames {
        drop(black_box(read(black_box(frame))));
    }
    start.elapsed()
}
