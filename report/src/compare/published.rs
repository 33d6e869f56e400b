//! Rows of the paper's Tables 2 to 4 (spec 07). Their accuracies are of single trainings on ImageNet.

use genas_space::{PaperRow, zoo};

use super::{Origin, Row};

/// A row of Table 4: V2, A, COCO AP, Cityscapes mIoU, in percent.
struct Transfer {
    search_set: &'static str,
    method: &'static str,
    figures: [f64; 4],
}

const fn transfer(search_set: &'static str, method: &'static str, figures: [f64; 4]) -> Transfer {
    Transfer { search_set, method, figures }
}

/// Table 4, by the methods' names in the zoo. The cells are from CIFAR-100, but for that of SDARTS-ADV.
const TABLE_4: [Transfer; 7] = [
    transfer("CIFAR-100", "PC-DARTS", [62.53, 3.85, 35.56, 70.68]),
    transfer("CIFAR-100", "DropNAS", [63.14, 4.28, 36.39, 71.16]),
    transfer("CIFAR-100", "SPOS (Accuracy)", [62.84, 3.91, 36.04, 71.70]),
    transfer("CIFAR-100", "RLNAS (Angle)", [62.95, 3.81, 35.98, 70.84]),
    transfer("CIFAR-10", "SDARTS-ADV", [62.88, 4.24, 36.36, 71.77]),
    transfer("CIFAR-100", "GeNAS (Flatness)", [63.38, 5.65, 37.05, 72.58]),
    transfer("CIFAR-100", "GeNAS (Angle + Flatness)", [63.32, 4.37, 36.59, 72.05]),
];

/// Every row, by the set that was searched on, those of known cells first.
pub fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for entry in zoo() {
        let Some(paper) = entry.paper else { continue };
        let mut row = published(entry.name, &paper);
        row.genotype = Some(entry.genotype());
        row.network =
            entry.channels.map(|channels| format!("ImageNet network, 14 cells, {channels} channels"));
        rows.push(row);
    }
    for unpublished in genas_space::unpublished() {
        let Some(paper) = unpublished.paper else { continue };
        rows.push(published(&format!("{} (no cell)", unpublished.name), &paper));
    }
    let order =
        |row: &Row| ["CIFAR-10", "CIFAR-100"].iter().position(|set| row.search_set.as_deref() == Some(*set));
    // Those of other sets come last.
    rows.sort_by_key(|row| order(row).unwrap_or(usize::MAX));
    rows
}

fn published(name: &str, paper: &PaperRow) -> Row {
    let mut row = Row::new(Origin::Published, name, "GeNAS, Tables 2 and 3");
    row.search_set = Some(paper.search_set.to_owned());
    row.metric = Some(paper.method.to_owned());
    // Decimal figures, moved without a rounding of their own.
    row.params = Some(scaled(paper.params_m, 6));
    row.flops = Some(scaled(paper.flops_g, 9));
    row.tested_on = Some("ImageNet".to_owned());
    row.top1 = Some(scaled(paper.top1, -2));
    row.top5 = paper.top5.map(|top5| scaled(top5, -2));
    let four = TABLE_4.iter().find(|t| t.search_set == paper.search_set && t.method == paper.method);
    if let Some(Transfer { figures: [v2, a, ap, miou], .. }) = four {
        row.imagenet_v2 = Some(scaled(*v2, -2));
        row.imagenet_a = Some(scaled(*a, -2));
        row.coco_ap = Some(scaled(*ap, -2));
        row.cityscapes_miou = Some(scaled(*miou, -2));
        row.source = "GeNAS, Tables 2 to 4".to_owned();
    }
    row
}

/// A decimal number times a power of ten, as if it had been written so: 76.05 becomes 0.7605 and not 0.7604999...
fn scaled(number: f64, exponent: i32) -> f64 {
    format!("{number}e{exponent}").parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_table_4_belongs_to_one_of_tables_2_and_3() {
        let rows = rows();
        let with = rows.iter().filter(|row| row.coco_ap.is_some()).count();
        assert_eq!(with, TABLE_4.len());
        assert!(rows.iter().all(|row| row.top1.is_some_and(|top1| (0.7..0.8).contains(&top1))), "{rows:?}");
        let sets: Vec<Option<&str>> = rows.iter().map(|row| row.search_set.as_deref()).collect();
        assert!(sets.is_sorted(), "{sets:?}");
        assert_eq!((scaled(76.05, -2), scaled(5.2, 6)), (0.7605, 5.2e6));
    }
}
