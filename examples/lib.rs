//! Examples of partyrs; each is a program of its own.
