//! Costs of generators.
//!
//! If a player owns `k` units, the next `n` units cost `c * r^k * (r^n - 1) / (r - 1)`: a geometric series with base
//! cost `c` and growth `r`. The formula and its inverse are from Pecorella, "The Math of Idle Games, Part I".

/// The costs of a generator's units, which are a geometric sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CostCurve {
    /// The cost of the first unit, `c > 0`.
    pub base: f64,
    /// The factor by which each unit costs more than the one before, `r > 1`.
    pub growth: f64,
}

impl CostCurve {
    /// The cost of the next `quantity` units if the player owns `owned` units. Returns `None` if it exceeds the range
    /// of finite doubles.
    ///
    /// Example: with `c = 10`, `r = 1.5` and one owned unit, the next two cost `10 * 1.5 * (1.5² - 1) / 0.5 = 37.5`.
    pub fn cost(&self, owned: u64, quantity: u64) -> Option<f64> {
        let next = self.base * self.growth.powf(owned as f64);
        let series = (self.growth.powf(quantity as f64) - 1.0) / (self.growth - 1.0);
        let cost = next * series;
        // Excludes infinity, NaN (from 0 times infinity), and negative costs, which would increase the balance.
        (0.0..=f64::MAX).contains(&cost).then_some(cost)
    }

    /// The largest quantity that costs at most `energy` if the player owns `owned` units.
    pub fn affordable(&self, owned: u64, energy: f64) -> u64 {
        let is_affordable = |quantity: u64| {
            quantity == 0 || self.cost(owned, quantity).is_some_and(|cost| cost <= energy)
        };
        // The estimate is accurate to about one unit, so the exact result is found by bisection around it.
        let mut low = self.estimate(owned, energy).saturating_sub(2);
        while !is_affordable(low) {
            low /= 2;
        }
        let mut step = 1;
        // Without the first condition this loop would not end if costs did not increase, which validation rejects.
        while low < u64::MAX && is_affordable(low.saturating_add(step)) {
            low = low.saturating_add(step);
            step = step.saturating_mul(2);
        }
        let mut high = low.saturating_add(step);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if is_affordable(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The approximate quantity that costs `energy` (`E`): `log_r(E * (r - 1) / (c * r^k) + 1)`. It is calculated with
    /// logarithms, so that no term can overflow.
    fn estimate(&self, owned: u64, energy: f64) -> u64 {
        let log_growth = self.growth.ln();
        let log_ratio =
            energy.ln() + (self.growth - 1.0).ln() - self.base.ln() - owned as f64 * log_growth;
        // If the ratio is above e^40, adding 1 does not change the double.
        let log_sum = if log_ratio > 40.0 { log_ratio } else { log_ratio.exp().ln_1p() };
        (log_sum / log_growth) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn curve() -> impl Strategy<Value = CostCurve> {
        (-2.0..300.0f64, 1.001..10.0f64)
            .prop_map(|(exponent, growth)| CostCurve { base: 10f64.powf(exponent), growth })
    }

    #[test]
    fn the_documented_example_is_correct() {
        let curve = CostCurve { base: 10.0, growth: 1.5 };
        assert_eq!(curve.cost(1, 2), Some(37.5));
        assert_eq!(curve.affordable(1, 37.5), 2);
        assert_eq!(curve.affordable(1, 37.49), 1);
    }

    #[test]
    fn a_cost_beyond_the_finite_range_cannot_be_bought() {
        let curve = CostCurve { base: 15.0, growth: 1.15 };
        assert_eq!(curve.cost(0, 1_000_000), None);
        assert_eq!(curve.cost(u64::MAX, 1), None);
        assert_eq!(curve.affordable(u64::MAX, f64::MAX), 0);
    }

    proptest! {
        #[test]
        fn the_cost_of_n_is_the_sum_of_n_single_costs(curve in curve(), owned in 0u64..500, quantity in 1u64..200) {
            let single: Option<Vec<f64>> = (0..quantity).map(|i| curve.cost(owned + i, 1)).collect();
            let Some(single) = single else { return Ok(()) };
            let sum: f64 = single.iter().sum();
            prop_assume!(sum < 1e307);
            let cost = curve.cost(owned, quantity).expect("a finite cost, because the sum is finite");
            prop_assert!((cost - sum).abs() <= 1e-9 * sum, "{cost} is not {sum}");
        }

        #[test]
        fn max_is_affordable_and_one_more_is_not(curve in curve(), owned in 0u64..2_000, exponent in -3.0..308.2f64) {
            let energy = 10f64.powf(exponent);
            let quantity = curve.affordable(owned, energy);
            if quantity > 0 {
                prop_assert!(curve.cost(owned, quantity).is_some_and(|cost| cost <= energy));
            }
            prop_assert!(curve.cost(owned, quantity + 1).is_none_or(|cost| cost > energy));
        }

        #[test]
        fn costs_rise_and_are_never_negative(curve in curve(), owned in 0u64..2_000, quantity in 1u64..2_000) {
            if let (Some(fewer), Some(more)) = (curve.cost(owned, quantity), curve.cost(owned, quantity + 1)) {
                prop_assert!(0.0 < fewer && fewer < more);
            }
        }
    }
}
