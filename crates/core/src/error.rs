//! Errors of stages. A kind exists only where the caller does something different.

use thiserror::Error;

/// What the caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Nothing was done, or doing it again is harmless: wait and try again.
    Retry,
    /// It will not go away by itself: stop, and tell the operator.
    Stop,
}

/// An error of a source, transform or sink: what happened, where, and what to do.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct StageError {
    kind: ErrorKind,
    message: String,
    /// A short, fixed word for the `error_type` label of metrics.
    error_type: &'static str,
}

impl StageError {
    /// An error that passes: a full disk, a refused connection. `message` names what, where, and the remedy.
    pub fn retry(error_type: &'static str, message: impl Into<String>) -> Self {
        StageError { kind: ErrorKind::Retry, message: message.into(), error_type }
    }

    /// An error that stays. `message` names what, where, and the remedy.
    pub fn stop(error_type: &'static str, message: impl Into<String>) -> Self {
        StageError { kind: ErrorKind::Stop, message: message.into(), error_type }
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The value of the metric's `error_type` label.
    pub fn error_type(&self) -> &'static str {
        self.error_type
    }
}

impl From<crate::store::StoreError> for StageError {
    fn from(error: crate::store::StoreError) -> Self {
        StageError::stop("store", error.to_string())
    }
}
