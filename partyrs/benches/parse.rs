//! What reading a message costs, beside `serde_json` with `#[serde(tag = "type")]`:
//! `cargo bench -p partyrs --bench parse`. Each message is read by both in turn, in small rounds, since the
//! machine may have other work; the last lines tell the ratio of the medians of all rounds.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput};
use partyrs::{Frame, FromFrame};
use serde::Deserialize;

#[path = "../tests/protocol/mod.rs"]
mod protocol;

use protocol::{Ask, frames};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (name, text) in frames() {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(text.len() as u64));
        let frame = Frame::text(text.clone());
        group.bench_function(BenchmarkId::from_parameter("partyrs"), |bencher| {
            bencher.iter(|| by_partyrs(black_box(&frame)));
        });
        group.bench_function(BenchmarkId::from_parameter("serde"), |bencher| {
            bencher.iter(|| by_serde(black_box(&text)));
        });
        group.finish();
    }
    criterion.final_summary();
    for (name, text) in frames() {
        println!("{name:<24} {:.2} times as fast as serde", ratio(&text));
    }
}

fn by_partyrs(frame: &Frame) -> Ask {
    Ask::from_frame(frame.clone()).expect("is a message")
}

fn by_serde(text: &str) -> Ask {
    Ask::deserialize(&mut serde_json::Deserializer::from_str(text)).expect("is a message")
}

/// The median over rounds in which one follows the other.
fn ratio(text: &str) -> f64 {
    const ROUNDS: usize = 201;
    let frame = Frame::text(text.to_owned());
    let times = (200_000 / text.len()).max(50);
    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let ours = time(times, || drop(black_box(by_partyrs(black_box(&frame)))));
            let serdes = time(times, || drop(black_box(by_serde(black_box(text)))));
            serdes.as_secs_f64() / ours.as_secs_f64()
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ROUNDS / 2]
}

fn time(times: usize, mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    (0..times).for_each(|_| work());
    start.elapsed()
}
