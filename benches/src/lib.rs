//! Nothing: the benches are in `benches/`, the reference programs in `src/bin/`.
