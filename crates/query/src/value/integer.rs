//! Numbers, ranges and their comparison.

use super::Values;
use crate::{Operator, QueryError, Range, literal::Literal};

impl Values<'_> {
    pub(super) fn integer(&self, operator: Operator, literal: &Literal) -> Result<Range, QueryError> {
        let what = "a whole number, or a range such as 80-90";
        let text = self.exact(literal, what)?;
        if let Ok(number) = text.parse::<i64>() {
            return Ok(compared(operator, Range { low: number, high: number }));
        }
        let Some(range) = range(&text) else {
            return Err(self.wrong(literal, "this is no whole number").expected(what));
        };
        if operator != Operator::Equal {
            let message = format!("a range can't be compared by `{}`", operator.as_str());
            return Err(self.wrong(literal, message).expected("a whole number"));
        }
        if range.low > range.high {
            return Err(self.wrong(literal, "a range goes from the lower to the higher number"));
        }
        Ok(range)
    }
}

/// `1-5`, `-10--5`.
fn range(text: &str) -> Option<Range> {
    // the first dash that is not a sign
    let dash = text.char_indices().skip(1).find(|&(_, character)| character == '-')?.0;
    let low = text.get(..dash)?.trim_end().parse().ok()?;
    let high = text.get(dash + 1..)?.trim_start().parse().ok()?;
    Some(Range { low, high })
}

/// The numbers that compare so with a value that reaches from `low` to `high`.
pub(super) const fn compared(operator: Operator, value: Range) -> Range {
    // at the ends of the numbers nothing is beyond: low > high
    const NOTHING: Range = Range { low: i64::MAX, high: i64::MIN };
    match operator {
        Operator::Equal => value,
        Operator::AtMost => Range { low: i64::MIN, high: value.high },
        Operator::AtLeast => Range { low: value.low, high: i64::MAX },
        Operator::Below if value.low == i64::MIN => NOTHING,
        Operator::Below => Range { low: i64::MIN, high: value.low - 1 },
        Operator::Above if value.high == i64::MAX => NOTHING,
        Operator::Above => Range { low: value.high + 1, high: i64::MAX },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(range("1-5"), Some(Range { low: 1, high: 5 }));
        assert_eq!(range("-10--5"), Some(Range { low: -10, high: -5 }));
        assert_eq!(range("-10-5"), Some(Range { low: -10, high: 5 }));
        assert_eq!(range("1-"), None);
        assert_eq!(range("-"), None);
        assert_eq!(range(""), None);
        let top = Range { low: i64::MAX, high: i64::MAX };
        assert!(!compared(Operator::Above, top).contains(i64::MAX));
    }
}
