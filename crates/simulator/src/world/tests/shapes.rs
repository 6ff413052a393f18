//! Records against real ones.
