//! The recycling allocator as this program's allocator.
#![allow(missing_docs)]

use genas_kernels::memory::{MIN_BLOCK, Recycling, kept, release, set_limit};

#[global_allocator]
static ALLOCATOR: Recycling = Recycling;

/// One test: the limit and the lists are the program's.
#[test]
fn blocks_are_reused_and_intact() {
    // Reuse, alignment, and zeros in used memory.
    let first = vec![7u8; 3 * MIN_BLOCK];
    let at = first.as_ptr() as usize;
    assert_eq!(at % 64, 0);
    drop(first);
    assert!(kept() >= 3 * MIN_BLOCK);
    let second = vec![0u8; 3 * MIN_BLOCK - 5];
    assert_eq!(second.as_ptr() as usize, at, "same block");
    assert!(second.iter().all(|v| *v == 0));
    drop(second);

    // Growth and shrinking across the threshold and classes keeps the content; threads hand blocks to each other.
    std::thread::scope(|scope| {
        for t in 0..4u32 {
            scope.spawn(move || {
                for round in 0..20 {
                    let mut grown = vec![];
                    for i in 0..50_000u32 {
                        grown.push(i ^ t ^ round);
                    }
                    assert!(grown.iter().enumerate().all(|(i, v)| *v == i as u32 ^ t ^ round));
                    grown.truncate(100);
                    grown.shrink_to_fit();
                    assert!(grown.iter().enumerate().all(|(i, v)| *v == i as u32 ^ t ^ round));
                    let sent = vec![round; 40_000];
                    let back = std::thread::spawn(move || sent.iter().all(|v| *v == round)).join();
                    assert!(back.is_ok_and(|ok| ok));
                }
            });
        }
    });

    release();
    assert_eq!(kept(), 0);
    set_limit(MIN_BLOCK * 4);
    drop((vec![1u8; 3 * MIN_BLOCK], vec![1u8; 3 * MIN_BLOCK]));
    assert_eq!(kept(), 3 * MIN_BLOCK, "the second block is over the limit");
    set_limit(0);
    drop(vec![1u8; MIN_BLOCK]);
    assert_eq!(kept(), 3 * MIN_BLOCK);
    release();
    assert_eq!(kept(), 0);
}
