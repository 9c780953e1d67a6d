//! From every world something leads to quiescence without a further fault.

/// Worlds from which nothing leads to a quiet one, in the order in which they were found.
pub fn stuck(states: usize, edges: &[(u32, u32)], quiet: &[u32]) -> Vec<u32> {
    let mut heads = vec![0u32; states + 2];
    for (_, to) in edges {
        heads[*to as usize + 2] += 1;
    }
    for i in 2..heads.len() {
        heads[i] += heads[i - 1];
    }
    let mut from = vec![0u32; edges.len()];
    for (parent, to) in edges {
        let place = &mut heads[*to as usize + 1];
        from[*place as usize] = *parent;
        *place += 1;
    }
    let mut reached = vec![false; states];
    let mut rest: Vec<u32> = quiet.to_vec();
    rest.iter().for_each(|at| reached[*at as usize] = true);
    while let Some(at) = rest.pop() {
        let (a, b) = (heads[at as usize] as usize, heads[at as usize + 1] as usize);
        for parent in &from[a..b] {
            if !std::mem::replace(&mut reached[*parent as usize], true) {
                rest.push(*parent);
            }
        }
    }
    let ids = 0..u32::try_from(states).unwrap_or(u32::MAX);
    ids.filter(|at| !reached[*at as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::stuck;

    #[test]
    fn whoever_cannot_come_back_is_stuck() {
        assert_eq!(stuck(5, &[(0, 1), (1, 0), (2, 1), (1, 3), (3, 4)], &[0]), vec![3, 4]);
    }
}
