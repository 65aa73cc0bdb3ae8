use core::time::Duration;

use crate::base::Timestamp;
use crate::claims::ClaimError;
use crate::jose::{Json, Object};

/// Reads a NumericDate (RFC 7519 §2): it may be fractional, negative or huge, and is clamped to what a [`Timestamp`]
/// can tell. So an `exp` beyond that, such as one in milliseconds, never comes, and such an `nbf` neither. `null` is no
/// date, and does not pass for an absent one: a limit that cannot be read is not left out.
pub(crate) fn numeric_date(
    claims: &Object<'_>,
    claim: &'static str,
) -> Result<Option<Timestamp>, ClaimError> {
    let number = match claims.get(claim) {
        None => return Ok(None),
        Some(Json::Number(number)) => number,
        Some(Json::Null | Json::Bool(_) | Json::String(_) | Json::Array(_) | Json::Object(_)) => {
            return Err(ClaimError::Malformed { claim });
        }
    };
    if let Some(secs) = number.as_u64() {
        return Ok(Some(Timestamp::from_secs(secs)));
    }
    let secs = number.as_f64().ok_or(ClaimError::Malformed { claim })?;
    if secs < 0.0 {
        return Ok(Some(Timestamp::EPOCH));
    }
    let since_epoch = Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX);
    Ok(Some(Timestamp::EPOCH.after(since_epoch)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exp(json: &str) -> Result<Option<Timestamp>, ClaimError> {
        numeric_date(&Object::parse(json.as_bytes()).unwrap(), "exp")
    }

    #[test]
    fn numeric_dates_may_be_fractional_negative_or_huge() {
        assert_eq!(exp(r#"{"exp":2}"#), Ok(Some(Timestamp::from_secs(2))));
        assert_eq!(exp(r#"{"exp":1.5}"#), Ok(Some(Timestamp::from_millis(1500))));
        assert_eq!(exp(r#"{"exp":-1}"#), Ok(Some(Timestamp::EPOCH)));
        assert_eq!(exp(r#"{"exp":-0.5}"#), Ok(Some(Timestamp::EPOCH)));
        for huge in [
            "8210266876800",
            "32503680000000",
            "9223372036854775807",
            "18446744073709551616",
            "1e12",
            "1e300",
        ] {
            assert_eq!(exp(&format!(r#"{{"exp":{huge}}}"#)), Ok(Some(Timestamp::MAX)), "{huge}");
        }
        assert_eq!(exp(r#"{"exp":-1e300}"#), Ok(Some(Timestamp::EPOCH)));
        assert_eq!(exp("{}"), Ok(None));
    }

    #[test]
    fn what_is_no_number_is_malformed() {
        for json in
            [r#"{"exp":"2"}"#, r#"{"exp":null}"#, r#"{"exp":true}"#, r#"{"exp":[2]}"#, r#"{"exp":{}}"#]
        {
            assert_eq!(exp(json), Err(ClaimError::Malformed { claim: "exp" }), "{json}");
        }
    }
}
