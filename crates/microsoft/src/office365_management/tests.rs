//! Tests of the source against a scripted service.
