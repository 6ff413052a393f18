//! The real binary, run as a user would run it.

mod admin;
mod bad_input;
mod config_errors;
mod crash;
mod demo;
mod lake;
mod microsoft;
mod microsoft_crash;
mod microsoft_faults;
mod microsoft_filters;
mod microsoft_https;
mod microsoft_identity;
mod microsoft_poison;
mod microsoft_proxy;
mod microsoft_recover;
mod microsoft_redirect;
mod microsoft_reporting;
mod microsoft_sources;
mod microsoft_spool;
mod microsoft_tenants;
mod microsoft_time;
mod microsoft_windows;
mod signals;
mod support;
mod tidy;
