//! Cells from the repositories of the methods that GeNAS compares with.

use super::ZooEntry;
use super::rows::{c10, c10_top1};

pub(super) const CELLS: &[ZooEntry] = &[
    ZooEntry {
        name: "PC_DARTS_cifar",
        aliases: &["PC_DARTS", "PCDARTS", "PCDARTS_CIFAR10"],
        source: "yuhuixu1993/PC-DARTS genotypes.py",
        note: "PC-DARTS, CIFAR-10; the row keeps the FLOPs that PC-DARTS counted",
        paper: c10("PC-DARTS", 5.3, 0.59, 74.9, 92.2),
        channels: Some(48),
        check_rounded: Some((48, 5.271, 571.9)),
        check_cifar: Some((36, 3_634_678)),
        human: "normal: s3(1) sk(0) | s3(0) d3(1) | s5(0) s3(1) | ap(0) d3(1); \
                reduce: s5(1) mp(0) | s5(1) s5(2) | s3(0) s3(3) | s3(1) s3(2)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "PC_DARTS_image",
        aliases: &["PCDARTS_IMAGENET"],
        source: "yuhuixu1993/PC-DARTS genotypes.py",
        note: "PC-DARTS, searched on ImageNet; in no row",
        check_rounded: Some((48, 5.342, 582.4)),
        human: "normal: sk(1) s3(0) | s3(0) sk(1) | s3(1) s3(3) | s3(1) d5(4); \
                reduce: s3(0) sk(1) | d5(2) mp(1) | s3(2) s3(1) | s5(0) s3(3)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "FairDARTS_b",
        aliases: &["FairDARTS"],
        source: "xiaomi-automl/FairDARTS fairdarts/genotypes.py",
        note: "FairDARTS-B, CIFAR-10; two nodes of the normal cell have one input, so 28 integers cannot express it",
        paper: c10("FairDARTS-B", 4.8, 0.54, 75.1, 92.5),
        channels: Some(48),
        check_rounded: Some((48, 4.865, 542.0)),
        human: "normal: s3(0) s3(1) | s3(1) | d3(0) s5(1) | d5(1); \
                reduce: sk(0) d3(1) | sk(0) d3(1) | mp(0) s3(1) | sk(2) mp(0)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "DROPNAS_CIFAR10",
        source: "wiljohnhong/DropNAS README.md",
        note: "DropNAS, CIFAR-10",
        paper: c10("DropNAS", 5.4, 0.60, 76.0, 92.8),
        channels: Some(48),
        check_rounded: Some((48, 5.433, 597.8)),
        human: "normal: s3(1) sk(0) | s3(1) s3(0) | s3(1) s3(0) | d5(4) d3(1); \
                reduce: mp(0) s5(1) | d5(2) s5(1) | d5(3) d5(2) | d5(3) d5(4)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "shapley_nas_cifar10",
        aliases: &["SHAPLEY_NAS"],
        source: "Euphoria16/Shapley-NAS genotypes.py",
        note: "Shapley-NAS, CIFAR-10",
        paper: c10_top1("Shapley-NAS", 5.1, 0.57, 75.7),
        channels: Some(48),
        check_rounded: Some((48, 5.139, 566.3)),
        human: "normal: s3(0) s3(1) | s3(1) d3(0) | d3(2) sk(3) | s3(1) d5(3); \
                reduce: s3(1) mp(0) | d5(2) s3(0) | s3(2) mp(0) | d3(3) sk(2)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "shapley_nas_imagenet",
        source: "Euphoria16/Shapley-NAS genotypes.py",
        note: "Shapley-NAS, searched on ImageNet; in no row",
        check_rounded: Some((48, 5.424, 598.8)),
        human: "normal: s3(1) s5(0) | d5(2) sk(1) | s3(2) s5(0) | s3(1) sk(2); \
                reduce: s3(1) d3(0) | ap(2) s5(1) | s3(3) sk(1) | s3(2) s3(4)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "RLNAS_CIFAR10",
        aliases: &["RLDARTS_CIFAR10"],
        source: "megvii-model/RLNAS darts_search_space/cifar10/rlnas/retrain_architecture/genotypes.py",
        note: "RLNAS with random labels, CIFAR-10; called RLDARTS there, a name that GeNAS gives to another cell",
        check_rounded: Some((46, 5.258, 580.6)),
        human: "normal: s5(0) s3(1) | d3(0) s5(2) | s3(0) d5(3) | d5(1) d3(2); \
                reduce: s5(0) d3(1) | s3(0) s5(2) | d3(1) s3(3) | mp(1) s5(2)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "RLNAS_IMAGENET_600M",
        aliases: &["RLDARTS_IMAGENET_600M"],
        source: "megvii-model/RLNAS darts_search_space/imagenet",
        note: "RLNAS with random labels, ImageNet, at most 600 MFLOPs; called RLDARTS there",
        check_rounded: Some((48, 5.464, 596.8)),
        human: "normal: s3(0) s3(1) | sk(1) s3(2) | s3(1) s3(2) | sk(0) s3(4); \
                reduce: s3(0) mp(1) | s3(0) sk(1) | s3(0) d3(1) | sk(0) s3(1)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "RLNAS_IMAGENET",
        aliases: &["RLDARTS_IMAGENET"],
        source: "megvii-model/RLNAS darts_search_space/imagenet",
        note: "RLNAS with random labels, ImageNet, without a limit; there in a comment",
        check_rounded: Some((48, 6.619, 723.9)),
        human: "normal: s3(0) s3(1) | s3(1) s3(2) | s3(0) s5(1) | s3(0) s3(1); \
                reduce: s3(0) s3(1) | s5(0) s3(2) | s5(0) s5(2) | s3(2) s3(4)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "MFNAS",
        aliases: &["MF_NAS"],
        source: "wqflyx/mfnas architecture.txt",
        note: "MF-NAS, CIFAR-10; that it is the cell of the row is probable, and that the repository is official is not confirmed",
        paper: c10_top1("MF-NAS", 4.9, 0.55, 75.3),
        channels: Some(48),
        check_rounded: Some((48, 4.864, 534.6)),
        human: "normal: s3(0) s3(1) | sk(0) s3(2) | s3(1) s3(2) | mp(0) sk(2); \
                reduce: d3(0) s3(1) | ap(0) s3(1) | ap(1) d5(2) | mp(1) d5(4)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "MFNAS_V1",
        source: "wqflyx/mfnas utils/genotypes.py",
        note: "another cell of the MF-NAS repository; in no row",
        check_rounded: Some((48, 4.172, 462.0)),
        human: "normal: sk(0) s3(1) | mp(0) d3(2) | ap(0) ap(1) | s3(0) s5(3); \
                reduce: ap(0) sk(1) | mp(0) d3(2) | mp(0) d3(1) | s3(2) sk(4)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "MFNAS_V2",
        source: "wqflyx/mfnas utils/genotypes.py",
        note: "the default cell of the MF-NAS repository; in no row",
        check_rounded: Some((48, 4.664, 518.6)),
        human: "normal: ap(0) s3(1) | s3(0) mp(2) | s5(2) d5(3) | sk(0) s3(1); \
                reduce: mp(0) s3(1) | mp(0) s3(2) | d5(2) mp(3) | sk(0) sk(2)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "MFNAS_V3",
        source: "wqflyx/mfnas utils/genotypes.py",
        note: "another cell of the MF-NAS repository; in no row",
        check_rounded: Some((48, 5.253, 588.0)),
        human: "normal: sk(0) ap(1) | s3(0) d3(2) | s5(1) s5(3) | s3(1) s5(2); \
                reduce: mp(0) s3(1) | sk(0) sk(2) | d5(0) s3(3) | d5(1) d5(2)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "MFNAS_V4",
        source: "wqflyx/mfnas utils/genotypes.py",
        note: "another cell of the MF-NAS repository; in no row",
        check_rounded: Some((48, 5.708, 629.5)),
        human: "normal: s3(0) s3(1) | d3(0) s3(1) | s3(1) s3(3) | sk(0) s5(4); \
                reduce: s3(0) s5(1) | s5(0) ap(1) | s5(0) d5(3) | ap(1) d5(3)",
        ..ZooEntry::BLANK
    },
];
