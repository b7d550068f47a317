//! A hook is a transaction, and its failure costs no client its connection.
