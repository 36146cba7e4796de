//! Values of options: what a number on the command line may be, and which samplers draw.
//!
//! A value out of its range is wrong usage, said before anything is read. Tests are for the good case, so that NaN
//! falls out.

use clap::ValueEnum;

use crate::config::SamplerKind;

fn parse(text: &str, good: impl Fn(f64) -> bool, wanted: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && good(value) => Ok(value),
        _ => Err(format!("expected {wanted}")),
    }
}

pub(crate) fn at_least_zero(text: &str) -> Result<f64, String> {
    parse(text, |v| v >= 0.0, "a number of at least 0")
}

pub(crate) fn positive(text: &str) -> Result<f64, String> {
    parse(text, |v| v > 0.0, "a number above 0")
}

/// A boundary, or any distance on the sphere.
pub(crate) fn boundary(text: &str) -> Result<f64, String> {
    parse(text, |v| (0.0..=2.0).contains(&v), "a distance within 0 and 2")
}

/// A distance whose weight can cap others: at 0 and 2 there is none.
pub(crate) fn near(text: &str) -> Result<f64, String> {
    parse(text, |v| v > 0.0 && v < 2.0, "a distance between 0 and 2")
}

pub(crate) fn share(text: &str) -> Result<f64, String> {
    parse(text, |v| (0.0..=0.9).contains(&v), "a share within 0 and 0.9")
}

/// A share of pairs.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    parse(text, |v| (0.0..=1.0).contains(&v), "a rate within 0 and 1")
}

pub(crate) fn quantile(text: &str) -> Result<f64, String> {
    parse(text, |v| v > 0.0 && v < 1.0, "a number between 0 and 1")
}

/// A sampler that draws one negative at a time.
pub(crate) fn drawing(text: &str) -> Result<SamplerKind, String> {
    match SamplerKind::from_str(text, false) {
        Ok(SamplerKind::Expected) => {
            Err("expected draws nothing: it weighs every negative; distance-weighted draws by the same law"
                .into())
        }
        Ok(SamplerKind::All) => {
            Err("all draws nothing: it takes every negative; uniform draws any of them alike".into())
        }
        Ok(kind) => Ok(kind),
        Err(_) => Err("expected uniform, hard, semihard, semihard-band or distance-weighted".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_and_what_lies_outside_are_refused() {
        for parser in [at_least_zero, positive, boundary, near, share, rate, quantile] {
            for bad in ["NaN", "inf", "-inf", "-1", "", "x"] {
                assert!(parser(bad).is_err(), "{bad}");
            }
        }
        assert!(
            positive("0").is_err()
                && near("2").is_err()
                && quantile("1").is_err()
                && boundary("2.1").is_err()
        );
        assert_eq!((at_least_zero("0"), boundary("2"), near("0.5")), (Ok(0.0), Ok(2.0), Ok(0.5)));
    }

    #[test]
    fn samplers_that_draw_nothing_say_what_does() {
        assert_eq!(drawing("hard"), Ok(SamplerKind::Hard));
        assert!(drawing("expected").unwrap_err().contains("distance-weighted draws"));
        assert!(drawing("all").unwrap_err().contains("uniform draws"));
        assert!(drawing("harder").is_err());
    }
}
