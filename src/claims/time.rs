use core::time::Duration;

use crate::base::Timestamp;
use crate::claims::ClaimError;
use crate::jose::{Json, Object};

/// Reads a NumericDate (RFC 7519 §2): it may be fractional, negative or huge, and is clamped to what a [`Timestamp`] can tell.
/// Beyond the calendar, some 262,000 years either way, it is malformed.
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
    let in_calendar = |secs: &f64| (-CALENDAR_SECS..=CALENDAR_SECS).contains(secs);
    let secs = number.as_f64().filter(in_calendar).ok_or(ClaimError::Malformed { claim })?;
    if let Some(secs) = number.as_u64() {
        return Ok(Some(Timestamp::from_secs(secs)));
    }
    if secs < 0.0 {
        return Ok(Some(Timestamp::EPOCH));
    }
    let since_epoch = Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX);
    Ok(Some(Timestamp::EPOCH.after(since_epoch)))
}

/// The last second that chrono's calendar knows, and with it the second reader of the tests: neither takes what the other refuses.
const CALENDAR_SECS: f64 = 8_210_266_876_799.0;

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
        assert_eq!(exp(r#"{"exp":8210266876799}"#), Ok(Some(Timestamp::MAX)));
        assert_eq!(exp(r#"{"exp":1e12}"#), Ok(Some(Timestamp::MAX)));
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
