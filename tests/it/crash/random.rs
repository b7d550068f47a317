//! The random decisions of a run, all of them from one number.

/// A generator (SplitMix64). One for each task, made by [`Random::fork`] before it starts: then
/// what a task decides does not depend on which of them runs first.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A place in a list of this length, which is not zero.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("less than a usize")
    }

    /// Whether this is the one time of `times`.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Another generator, which goes its own way.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }
}

/// The seed of a run: `PARTYRS_SEED`, or a new one. It is printed, so that a run can be had again.
pub(crate) fn seed() -> u64 {
    let from_env = std::env::var("PARTYRS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = from_env.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let nanos = now.expect("a clock after 1970").as_nanos();
        Random::of(u64::try_from(nanos & u128::from(u64::MAX)).expect("cut to 64 bits")).next()
    });
    println!("PARTYRS_SEED={seed}");
    seed
}
