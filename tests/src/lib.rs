//! Nothing: the end-to-end tests are in `e2e/`. Cargo wants a package to have a target that is not a test.
