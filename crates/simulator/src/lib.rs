//! A simulated Microsoft cloud on loopback: tenants that live (`world`), served by the APIs that the collectors talk
//! to (`cloud`), with faults on request and a ledger of everything that was published.
//!
//! It knows nothing of the collectors: they meet over HTTP, so that a mistake cannot be made on both sides at once.
