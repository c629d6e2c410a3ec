//! Failures in the vendor's words: always a JSON object, because the SDKs lose code and status of anything else. The
//! present SDKs read keys in either case, the older one in upper case alone, and the real services differ; so every
//! body has both.

use domain::{Error, ErrorKind, Missing};
use http::StatusCode;
use serde::Serialize;

use super::reply;
use crate::authn::access_key::LOCKED;
use crate::authn::failure::Failure;
use crate::reply::{HttpResponse, Reply};

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "RequestId")]
    upper_request_id: &'a str,
    #[serde(rename = "Code")]
    upper_code: &'a str,
    #[serde(rename = "Message")]
    upper_message: &'a str,
    #[serde(rename = "requestId")]
    request_id: &'a str,
    code: &'a str,
    message: &'a str,
    status: u16,
    #[serde(rename = "AccessDeniedDetail", skip_serializing_if = "Option::is_none")]
    upper_detail: Option<Detail<'a>>,
    #[serde(rename = "accessDeniedDetail", skip_serializing_if = "Option::is_none")]
    detail: Option<Detail<'a>>,
}

/// What a refused caller is told besides. The explanation is not the vendor's: by its id the audit has the reasons.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Detail<'a> {
    auth_action: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_permission_type: Option<&'static str>,
    explanation: &'a str,
}

/// An unknown cluster. The vendor's Terraform provider takes this for an answer.
pub(super) const CLUSTER_NOT_FOUND: &str = "ErrorClusterNotFound";

/// Permissions for somebody who is not there. The vendor's own code is not documented.
pub(super) const USER_NOT_FOUND: &str = "ErrorUserNotFound";

/// Codes of the clusters' service for what is not there; they travel as the error's field.
const MISSING: [(&str, StatusCode); 2] =
    [(CLUSTER_NOT_FOUND, StatusCode::NOT_FOUND), (USER_NOT_FOUND, StatusCode::BAD_REQUEST)];

/// A failure of authentication: its code, its status, and what is said of it.
struct Refusal {
    code: &'static str,
    status: StatusCode,
    message: &'static str,
}

/// The documented codes. Where no status is documented, 400, as of most.
const REFUSALS: [Refusal; 13] = [
    refusal("MissingAccessKeyId", "AccessKeyId is mandatory for this action."),
    refusal("IncompleteSignature", "The request signature does not conform to Aliyun standards."),
    refusal("InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted."),
    refusal("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."),
    Refusal {
        code: "InvalidAccessKeyId.NotFound",
        status: StatusCode::NOT_FOUND,
        message: "Specified access key is not found.",
    },
    refusal("SignatureDoesNotMatch", "Specified signature is not matched with our calculation."),
    refusal("ContentMD5NotMatched", "The hash of the body is not the one that was signed."),
    refusal(
        "InvalidSecurityToken.MismatchWithAccessKey",
        "Specified SecurityToken mismatch with the AccessKey.",
    ),
    refusal("MissingSecurityToken", "SecurityToken is mandatory for this action."),
    refusal("InvalidSignatureMethod", "The signature's method is not served."),
    refusal("UnprotectedBody", "The signature says nothing about the body."),
    Refusal {
        code: "Throttling.User",
        status: StatusCode::TOO_MANY_REQUESTS,
        message: "Request was denied due to user flow control:",
    },
    refusal("InvalidVersion", "Specified parameter Version is not valid."),
];

const fn refusal(code: &'static str, message: &'static str) -> Refusal {
    Refusal { code, status: StatusCode::BAD_REQUEST, message }
}

/// A refusal by one of the vendor's codes, which travels as the error's field.
pub(super) fn refused(code: &str, detail: &str) -> Error {
    let said = REFUSALS.iter().find(|refusal| refusal.code == code).map_or("", |refusal| refusal.message);
    let separator = if detail.is_empty() { "" } else { " " };
    Error::new(ErrorKind::Unauthenticated, format!("{said}{separator}{detail}")).at_field(code)
}

/// A signature that proves nothing. `string_to_sign` is what it should have been made of: the older SDK looks behind
/// the colon for it, to tell a wrong secret from a wrong request.
pub(super) fn of_failure(failure: &Failure, token: Option<&str>, string_to_sign: Option<String>) -> Error {
    match failure {
        Failure::Malformed(what) => refused("IncompleteSignature", &format!("It {what}.")),
        Failure::DateForm => refused("InvalidTimeStamp.Format", ""),
        Failure::Date => refused("InvalidTimeStamp.Expired", ""),
        Failure::UnknownKey(_) => refused("InvalidAccessKeyId.NotFound", ""),
        Failure::Mismatch => {
            let text = string_to_sign.unwrap_or_default();
            refused("SignatureDoesNotMatch", &format!("server string to sign is:{text}"))
        }
        Failure::Body => refused("ContentMD5NotMatched", ""),
        Failure::UnprotectedBody => refused(
            "UnprotectedBody",
            "Sign by ACS3-HMAC-SHA256, or send a Content-MD5; `alibaba.allow_unprotected_body` lets it pass.",
        ),
        Failure::Locked => refused("Throttling.User", LOCKED),
        Failure::SecurityToken if token.is_some() => {
            refused("InvalidSecurityToken.MismatchWithAccessKey", "")
        }
        Failure::SecurityToken => refused("MissingSecurityToken", ""),
    }
}

/// The failure as an answer. Its id is also in a header, which every answer of the dialect has.
pub(super) fn response(path: &str, error: &Error, request_id: &str) -> HttpResponse {
    let id = reply::request_id(request_id);
    let (status, code, message) = match coded(error) {
        Some((status, code)) => (status, code, error.message().to_owned()),
        None => {
            let (status, code) = status_and_code(path, error);
            (status, code, in_words(path, error))
        }
    };
    let detail = detail(error);
    let body = Body {
        upper_request_id: &id,
        upper_code: code,
        upper_message: &message,
        request_id: &id,
        code,
        message: &message,
        status: status.as_u16(),
        upper_detail: detail,
        detail,
    };
    reply::json(status, &body).unwrap_or_else(|_| Reply::empty(status)).into_response()
}

/// The code that an error brings along.
fn coded(error: &Error) -> Option<(StatusCode, &'static str)> {
    let field = error.field()?;
    if error.kind() == ErrorKind::Unauthenticated {
        let found = REFUSALS.iter().find(|refusal| refusal.code == field);
        return found.map(|refusal| (refusal.status, refusal.code));
    }
    let found = MISSING.iter().find(|(code, _)| *code == field);
    found.filter(|_| error.kind() == ErrorKind::NotFound).map(|(code, status)| (*status, *code))
}

fn detail(error: &Error) -> Option<Detail<'_>> {
    let (told, denial) = (error.told()?, error.denial()?);
    let no_permission_type = match denial.missing {
        Missing::Policy => Some("ImplicitDeny"),
        Missing::Nothing => Some("ExplicitDeny"),
        Missing::Administration => None,
    };
    Some(Detail { auth_action: &told.action, no_permission_type, explanation: &told.explanation })
}

/// The message; of a policy's refusal, in the clusters' service, the vendor's own, which programs look for.
fn in_words(path: &str, error: &Error) -> String {
    match (error.told(), error.denial().map(|denial| denial.missing)) {
        (Some(told), Some(Missing::Policy | Missing::Nothing)) if path != STS => {
            let limit = if told.in_session { "STSToken" } else { "RAM" };
            format!("{limit} policy Forbidden for action {}", told.action)
        }
        (Some(_) | None, Some(_) | None) => error.to_string(),
    }
}

/// The path of STS; all others are of the clusters' service.
const STS: &str = "/";

fn status_and_code(path: &str, error: &Error) -> (StatusCode, &'static str) {
    let sts = path == STS;
    let missing = error.denial().map(|denial| denial.missing);
    let of_namespaces = error.denial().is_some_and(|denial| denial.action == "bailiwick:namespace:list");
    let unknown_operation = error.message() == "there is no such operation";
    match error.kind() {
        ErrorKind::Invalid => (StatusCode::BAD_REQUEST, "InvalidParameter"),
        ErrorKind::Unauthenticated => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        ErrorKind::Forbidden if sts => (StatusCode::FORBIDDEN, "NoPermission"),
        ErrorKind::Forbidden if missing == Some(Missing::Administration) && of_namespaces => {
            (StatusCode::FORBIDDEN, "ForbiddenQueryClusterNamespace")
        }
        ErrorKind::Forbidden if missing == Some(Missing::Administration) => {
            (StatusCode::FORBIDDEN, "ForbiddenGrantPermissions")
        }
        ErrorKind::Forbidden => (StatusCode::FORBIDDEN, "StatusForbidden"),
        ErrorKind::NotFound if unknown_operation => (StatusCode::NOT_FOUND, "InvalidAction.NotFound"),
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "EntityNotExist"),
        ErrorKind::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "InvalidAction.NotFound"),
        ErrorKind::Conflict => (StatusCode::CONFLICT, "Conflict"),
        // By this code the vendor's Terraform provider knows to try again.
        ErrorKind::Contended => (StatusCode::CONFLICT, "ErrAuthorizationConflict"),
        ErrorKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge"),
        ErrorKind::HeadTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "RequestEntityTooLarge"),
        ErrorKind::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType"),
        ErrorKind::Limited => (StatusCode::TOO_MANY_REQUESTS, "Throttling.User"),
        ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Denial, Told};
    use http_body_util::BodyExt;

    const ALL: [ErrorKind; 13] = [
        ErrorKind::Invalid,
        ErrorKind::Unauthenticated,
        ErrorKind::Forbidden,
        ErrorKind::NotFound,
        ErrorKind::MethodNotAllowed,
        ErrorKind::Conflict,
        ErrorKind::Contended,
        ErrorKind::TooLarge,
        ErrorKind::HeadTooLarge,
        ErrorKind::UnsupportedMediaType,
        ErrorKind::Limited,
        ErrorKind::Unavailable,
        ErrorKind::Internal,
    ];

    async fn shown(error: &Error) -> (u16, serde_json::Value) {
        let answer = response("/clusters", error, "4c467b383910447d87bcac049166f216");
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn every_kind_of_failure_is_an_object_with_keys_in_both_cases() {
        for kind in ALL {
            let (status, body) = shown(&Error::new(kind, "because")).await;
            assert!(status >= 400 && body["status"] == status);
            assert_eq!((&body["Message"], &body["message"]), (&"because".into(), &"because".into()));
            assert!(body["Code"].as_str().is_some_and(|code| !code.is_empty()), "{kind:?}");
            assert_eq!(body["Code"], body["code"]);
            assert_eq!(body["RequestId"], "4C467B38-3910-447D-87BC-AC049166F216");
            assert_eq!(body["RequestId"], body["requestId"]);
        }
    }

    #[tokio::test]
    async fn a_refusal_has_the_vendors_words_and_where_an_administrator_finds_the_reasons() {
        let refused = |missing, in_session| {
            let denial = Denial {
                action: "bailiwick:grant:list".into(),
                resource: "cluster/c".into(),
                reasons: "policy `secret` denies it".into(),
                missing,
            };
            let told = Told {
                action: "cs:GetUserPermissions".into(),
                in_session,
                explanation: "e1".into(),
                sealed: None,
            };
            Error::denied(denial).telling(told)
        };
        let ram = "RAM policy Forbidden for action cs:GetUserPermissions";
        let sts = "STSToken policy Forbidden for action cs:GetUserPermissions";
        let other = "you are not allowed to perform `cs:GetUserPermissions` on `cluster/c`";
        for (missing, in_session, code, message, kind) in [
            (Missing::Policy, false, "StatusForbidden", ram, Some("ImplicitDeny")),
            (Missing::Nothing, false, "StatusForbidden", ram, Some("ExplicitDeny")),
            (Missing::Nothing, true, "StatusForbidden", sts, Some("ExplicitDeny")),
            (Missing::Administration, true, "ForbiddenGrantPermissions", other, None),
        ] {
            let (status, body) = shown(&refused(missing, in_session)).await;
            assert_eq!((status, &body["code"], &body["Message"]), (403, &code.into(), &message.into()));
            let detail = &body["accessDeniedDetail"];
            assert_eq!(detail, &body["AccessDeniedDetail"]);
            assert_eq!(detail["AuthAction"], "cs:GetUserPermissions");
            assert_eq!(detail["NoPermissionType"].as_str(), kind);
            assert_eq!(detail["Explanation"], "e1");
            assert!(!body.to_string().contains("secret"));
        }
    }

    #[tokio::test]
    async fn a_failed_signature_has_the_vendors_code_and_a_colon_before_what_should_have_been_signed() {
        let (status, body) = shown(&of_failure(&Failure::Mismatch, None, Some("TEXT".to_owned()))).await;
        assert_eq!((status, body["code"].as_str()), (400, Some("SignatureDoesNotMatch")));
        assert_eq!(body["Message"].as_str().unwrap().split(':').nth(1), Some("TEXT"));
        let (status, body) = shown(&of_failure(&Failure::UnknownKey("x".to_owned()), None, None)).await;
        assert_eq!((status, body["code"].as_str()), (404, Some("InvalidAccessKeyId.NotFound")));
    }
}
