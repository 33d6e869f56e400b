//! Moving averages of weights.

use rayon::prelude::*;

/// Elements per task.
const TASK: usize = 16 * 1024;

/// Moves each value of `average` towards that of `values` by the fraction `weight`; as PyTorch's `lerp_`, exactly onto it
/// at 1 and not at all at 0.
pub fn lerp(average: &mut [f32], values: &[f32], weight: f32) {
    assert_eq!(average.len(), values.len(), "lengths differ");
    average.par_chunks_mut(TASK).zip(values.par_chunks(TASK)).for_each(|(average, values)| {
        let pairs = average.iter_mut().zip(values);
        if weight < 0.5 {
            pairs.for_each(|(a, v)| *a += weight * (v - *a));
        } else {
            pairs.for_each(|(a, v)| *a = v - (v - *a) * (1.0 - weight));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_exact() {
        let (old, new) = (vec![1.0f32, -3e-8, 0.3], vec![7.1f32, 1e9, 0.1]);
        for (weight, expected) in [(0.0, &old), (1.0, &new)] {
            let mut average = old.clone();
            lerp(&mut average, &new, weight);
            assert_eq!(&average, expected);
        }
        let mut average = vec![1.0f32; TASK + 5];
        lerp(&mut average, &vec![3.0; TASK + 5], 0.25);
        assert!(average.iter().all(|&a| a == 1.5));
    }
}
