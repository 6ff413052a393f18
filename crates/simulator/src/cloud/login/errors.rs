//! Entra's errors that no request brings about here: problems of its own, and of tenants that are set up in other ways.

use super::Refusal;

/// A problem of Entra's that passes.
pub(super) const PASSING: u32 = 90_033;

/// Number, `error`, and text.
const ERRORS: [(u32, &str, &str); 22] = [
    (50_000, "temporarily_unavailable", "There was an error issuing a token."),
    (90_006, "temporarily_unavailable", "The service is not available."),
    (90_012, "temporarily_unavailable", "The request has timed out."),
    (90_024, "temporarily_unavailable", "The request budget is used up. It is a transient error."),
    (90_033, "temporarily_unavailable", "A transient error has occurred. Please try again."),
    (90_055, "temporarily_unavailable", "The tenant is throttled, because there are too many requests."),
    (90_090, "temporarily_unavailable", "The graph could not be reached."),
    (50_001, "invalid_resource", "The resource principal is disabled, or does not exist."),
    (50_006, "invalid_grant", "The signature could not be verified."),
    (50_076, "invalid_grant", "You must use multi-factor authentication to access the resource."),
    (53_003, "invalid_grant", "Access has been blocked by Conditional Access policies."),
    (65_001, "invalid_grant", "The user or administrator has not consented to use the application."),
    (90_014, "invalid_request", "A required field is missing."),
    (90_038, "invalid_request", "The tenant belongs to a national cloud."),
    (90_094, "invalid_grant", "An administrator must consent to the permissions."),
    (530_032, "invalid_grant", "The tenant's security policy blocks the request."),
    (700_022, "invalid_request", "The scope holds more than one resource."),
    (900_382, "invalid_client", "A confidential client is not supported in a request across clouds."),
    (900_432, "invalid_client", "A confidential client is not supported in a request across clouds."),
    (900_439, "invalid_request", "The application belongs to a cloud of the US government."),
    (900_561, "invalid_request", "The endpoint takes POST requests only."),
    (9_002_313, "invalid_request", "The request is malformed."),
];

/// The refusal of that number.
pub(super) fn refusal(code: u32) -> Refusal {
    let known = ERRORS.iter().find(|(number, ..)| *number == code);
    let (_, error, text) = known.copied().unwrap_or((code, "invalid_request", "The request was refused."));
    Refusal(error, code, text.to_owned())
}
