//! The host of partyrs.
