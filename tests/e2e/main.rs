//! The real binary, run as a user would run it.

mod admin;
mod bad_input;
mod config_errors;
mod crash;
mod demo;
mod lake;
mod signals;
mod support;
mod tidy;
