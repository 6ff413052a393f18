//! Entra's numbered errors (`AADSTS...`): whether to try again, and what to do.
//!
//! The numbers are those of Microsoft's "Microsoft Entra authentication and authorization error codes", and a few that
//! it does not list (7000216, 7000229, 700024, 700211 to 700213, 900439). Microsoft may change them, so they refine the
//! message alone: an unknown number is judged by the answer's `error`.

use crate::client::Verdict;

/// Numbers that mean the same, what becomes of the request, and what to do.
type Meaning = (&'static [u64], Verdict, &'static str);

/// What is known about a number.
pub(super) fn known(number: u64) -> Option<(Verdict, &'static str)> {
    let fits = |(numbers, ..): &&Meaning| numbers.contains(&number);
    KNOWN.iter().find(fits).map(|(_, verdict, meaning)| (*verdict, *meaning))
}

const KNOWN: &[Meaning] = &[
    // The application's credential.
    (
        &[7_000_215, 70_002],
        Verdict::Stop,
        "the client secret is wrong; give the secret's value, not its id, of the application `client_id`",
    ),
    (
        &[7_000_222],
        Verdict::Stop,
        "the client secret has expired; make a new one in the app registration, and start again with it",
    ),
    (
        &[7_000_218, 7_000_216],
        Verdict::Stop,
        "Entra wants a secret or certificate of the application; give it one in `auth`, or for `device_code` allow \
         public client flows in the app registration (Authentication)",
    ),
    (
        &[700_025],
        Verdict::Stop,
        "the application is registered as a public client, which has no secret or certificate; use `device_code`, or \
         register it anew",
    ),
    (
        &[700_027, 700_030, 50_006, 50_012],
        Verdict::Stop,
        "the certificate is not accepted; upload its public part to the app registration, and check that it has not expired",
    ),
    (
        &[50_013, 500_133, 700_024],
        Verdict::Stop,
        "the signed assertion is expired, not yet valid or malformed; check this machine's clock",
    ),
    (
        &[700_211, 700_212, 700_213],
        Verdict::Stop,
        "no federated credential of the application fits the token; compare issuer, subject and audience with the token's",
    ),
    // The application.
    (
        &[700_016, 700_011, 7_000_229, 90_099],
        Verdict::Stop,
        "the application is not known in this tenant; check `client_id` and `tenant_id`, or give the tenant's admin consent",
    ),
    (
        &[7_000_112, 70_001],
        Verdict::Stop,
        "the application is disabled; enable it in the tenant's enterprise applications",
    ),
    (
        &[65_001, 65_004, 90_008, 90_094, 90_095],
        Verdict::Stop,
        "consent is missing; an administrator must grant it to the application",
    ),
    (
        &[65_005, 650_056, 650_057],
        Verdict::Stop,
        "the app registration does not ask for permissions of that service; add them, and let an administrator grant consent",
    ),
    (
        &[50_105],
        Verdict::Stop,
        "the application is open to assigned people only; assign this one in the tenant's enterprise applications",
    ),
    // The service.
    (&[28_002, 70_011, 700_022, 700_023], Verdict::Stop, "the resource asked for is not accepted; check `cloud`"),
    (
        &[50_001, 500_011, 500_014, 650_052, 650_054],
        Verdict::Stop,
        "the service is not known in this tenant or is disabled there; check `cloud`, and that the tenant has that service",
    ),
    // The tenant and its cloud.
    (&[90_002], Verdict::Stop, "there is no such tenant; check `tenant_id`, and `cloud`: it may live in another cloud"),
    (
        &[90_038, 90_051, 900_382, 900_432, 900_439, 1_000_104],
        Verdict::Stop,
        "the tenant or the application lives in another cloud; set `cloud`",
    ),
    (
        &[50_194, 90_124, 90_130, 9_001_023],
        Verdict::Stop,
        "an application signs in to one tenant; give its GUID as `tenant_id`",
    ),
    (
        &[50_002, 500_021, 500_022],
        Verdict::Stop,
        "this network's tenant restrictions do not let the tenant through; ask whoever runs the proxy to allow it",
    ),
    // Policies of the tenant.
    (
        &[50_131, 53_003, 530_032, 530_034, 530_035],
        Verdict::Stop,
        "a Conditional Access policy blocks the application; exempt it, or its address",
    ),
    (
        &[50_005, 50_097, 50_129, 50_187, 53_000, 53_001, 53_002],
        Verdict::Stop,
        "a Conditional Access policy wants a device that is known and compliant, which a device code cannot prove; use a \
         certificate of the application, or exempt this person or application",
    ),
    (&[53_011], Verdict::Stop, "this person is at risk and blocked; the risk must be looked into first"),
    (
        &[500_212, 500_213],
        Verdict::Stop,
        "the cross-tenant access settings do not let this person into the tenant; sign in with an account of the tenant",
    ),
    // The person.
    (
        &[50_072, 50_074, 50_076, 50_078, 50_079, 50_158, 53_004],
        Verdict::Stop,
        "the tenant wants a second factor; the person must sign in again, or an application with a certificate in its place",
    ),
    (
        &[50_089, 50_132, 50_133, 50_173, 70_000, 70_008, 70_043, 700_082, 700_084],
        Verdict::Stop,
        "the sign-in has expired or was revoked; the person must sign in again",
    ),
    (
        &[16_000, 50_014, 50_020, 50_034, 51_004, 90_072],
        Verdict::Stop,
        "that person is not in this tenant; sign in with an account of it, and check `tenant_id`",
    ),
    (&[50_057], Verdict::Stop, "that person's account is disabled; sign in with another one"),
    // What is nobody's mistake out there.
    (
        &[90_014, 900_144, 900_561, 9_002_313],
        Verdict::Stop,
        "the request is malformed; please report this with this message",
    ),
    (&[50_000, 50_033, 90_006, 90_012, 90_024, 90_033, 90_090, 90_091], Verdict::Retry, "a passing problem of Entra"),
    (&[90_055], Verdict::Retry, "the tenant makes too many requests"),
    (&[50_196], Verdict::Retry, "the application asks for tokens too often; something else may use its id as well"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_number_has_one_meaning() {
        let mut seen = BTreeSet::new();
        let twice: Vec<_> =
            KNOWN.iter().flat_map(|(numbers, ..)| *numbers).filter(|number| !seen.insert(*number)).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }

    #[test]
    fn numbers_have_remedies() {
        let cases = [
            (7_000_215, "the secret's value, not its id"),
            (7_000_222, "make a new one"),
            (7_000_218, "allow public client flows"),
            (700_025, "use `device_code`"),
            (700_016, "check `client_id` and `tenant_id`"),
            (7_000_112, "enable it"),
            (700_027, "upload its public part"),
            (700_024, "check this machine's clock"),
            (700_213, "compare issuer, subject and audience"),
            (65_001, "an administrator must grant it"),
            (650_057, "does not ask for permissions"),
            (500_011, "check `cloud`, and that the tenant has that service"),
            (90_002, "check `tenant_id`, and `cloud`"),
            (900_382, "set `cloud`"),
            (900_439, "set `cloud`"),
            (500_021, "tenant restrictions"),
            (53_003, "Conditional Access"),
            (53_000, "a device that is known and compliant"),
            (50_076, "a second factor"),
            (50_173, "must sign in again"),
            (50_020, "not in this tenant"),
        ];
        for (number, words) in cases {
            let (verdict, meaning) = known(number).unwrap();
            assert!(verdict == Verdict::Stop && meaning.contains(words), "{number}: {meaning}");
        }
        assert!(
            [50_000, 90_033, 90_055, 50_196].map(known).iter().flatten().all(|(verdict, _)| *verdict == Verdict::Retry)
        );
        assert_eq!(known(1), None);
    }
}
