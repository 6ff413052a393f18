//! Time and chance.
