//! The best, the middle and the worst of a ranking (the paper's Figure 2).

/// Names of the groups, and the positions of their members among `scores`, best first. The middle is that of the order;
/// scores that are no numbers belong to no group, and of equal scores the first is the better.
///
/// # Errors
///
/// If the groups would overlap.
pub fn top_middle_bottom(scores: &[f64], k: usize) -> Result<[(String, Vec<usize>); 3], String> {
    let mut order: Vec<usize> = (0..scores.len()).filter(|&n| !scores[n].is_nan()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    let n = order.len();
    if k == 0 || 3 * k > n {
        return Err(format!("three groups of {k} out of {n} cells; {} is the most", n / 3));
    }
    let middle = (n - k) / 2;
    Ok([("top", 0), ("middle", middle), ("bottom", n - k)]
        .map(|(name, from)| (format!("{name} {k}"), order[from..from + k].to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_a_ranking() {
        let scores = [3.0, f64::NAN, 9.0, 1.0, 5.0, 5.0, f64::NEG_INFINITY, 7.0];
        let groups = top_middle_bottom(&scores, 2).unwrap();
        let expected = [("top 2", vec![2, 7]), ("middle 2", vec![4, 5]), ("bottom 2", vec![3, 6])];
        assert_eq!(groups, expected.map(|(name, members)| (name.to_owned(), members)));
        let one = top_middle_bottom(&scores[2..5], 1).unwrap().map(|(_, members)| members);
        assert_eq!(one, [[0], [2], [1]]);
        assert!(top_middle_bottom(&scores, 3).unwrap_err().contains("7 cells; 2 is the most"));
        assert!(top_middle_bottom(&scores, 0).is_err());
    }
}
