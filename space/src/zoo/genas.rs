//! Cells in the `genotypes.py` files of clovaai/GeNAS, its own and those that it compares with.

use super::ZooEntry;
use super::rows::{c10, c100};

pub(super) const CELLS: &[ZooEntry] = &[
    ZooEntry {
        name: "GENAS_FLATNESS_CIFAR10",
        source: "clovaai/GeNAS retrain_architecture/genotypes.py",
        note: "GeNAS, flatness, searched on CIFAR-10",
        paper: c10("GeNAS (Flatness)", 5.6, 0.61, 75.95, 92.74),
        channels: Some(52),
        check: Some((52, 5_564_090, 610_889_800)),
        human: "normal: sk(0) d3(1) | s3(1) s3(2) | d3(1) d3(2) | s3(3) sk(4); \
                reduce: s5(0) ap(1) | d3(1) s3(2) | sk(1) d3(3) | s5(2) d5(4)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "GENAS_ANGLE_FLATNESS_CIFAR10",
        source: "clovaai/GeNAS retrain_architecture/genotypes.py",
        note: "GeNAS, angle + flatness, searched on CIFAR-10",
        paper: c10("GeNAS (Angle + Flatness)", 5.3, 0.59, 76.06, 92.77),
        channels: Some(44),
        check: Some((44, 5_344_118, 593_608_456)),
        human: "normal: s5(0) s3(1) | s3(0) s3(1) | s3(0) s5(1) | s3(0) s3(4); \
                reduce: d5(0) d5(1) | ap(0) sk(1) | s3(0) mp(1) | s5(3) d3(4)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "GENAS_FLATNESS_CIFAR100",
        source: "clovaai/GeNAS retrain_architecture/genotypes.py",
        note: "GeNAS, flatness, searched on CIFAR-100; drawn in Figure 5",
        paper: c100("GeNAS (Flatness)", 5.2, 0.58, 76.05, 92.64),
        channels: Some(46),
        check: Some((46, 5_195_205, 580_208_040)),
        check_cifar: Some((36, 4_043_566)),
        human: "normal: sk(0) s5(1) | s3(1) s3(2) | s3(2) s5(3) | s3(1) d5(4); \
                reduce: d3(0) sk(1) | ap(0) s5(2) | s5(1) d5(3) | mp(1) mp(2)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "GENAS_ANGLE_FLATNESS_CIFAR100",
        source: "clovaai/GeNAS retrain_architecture/genotypes.py",
        note: "GeNAS, angle + flatness with gamma 16, searched on CIFAR-100; drawn in Figure 7",
        paper: c100("GeNAS (Angle + Flatness)", 5.4, 0.60, 75.72, 92.46),
        channels: Some(48),
        check: Some((48, 5_413_696, 603_167_192)),
        check_cifar: Some((36, 3_857_374)),
        human: "normal: sk(0) s5(1) | mp(0) s3(1) | s3(1) s3(3) | s3(1) s5(4); \
                reduce: d3(0) s3(1) | d5(1) ap(2) | mp(0) sk(1) | s3(1) d5(4)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "RLDARTS_OURS_GT",
        source: "clovaai/GeNAS retrain_architecture/genotypes.py",
        note: "the paper's Angle cell of CIFAR-100: equals its Figure 6, and fits its row at this width",
        paper: c100("RLNAS (Angle)", 5.4, 0.61, 75.00, 92.31),
        channels: Some(46),
        check: Some((46, 5_425_481, 607_283_088)),
        human: "normal: s5(0) s5(1) | ap(0) s5(1) | s3(0) s3(1) | s3(1) s3(4); \
                reduce: sk(0) sk(1) | sk(1) ap(2) | sk(0) d5(1) | sk(0) s3(4)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "RLDARTS",
        source: "clovaai/GeNAS evolution_search/genotypes.py",
        note: "an angle search by the authors of GeNAS that matches no row; the cell of the RLNAS paper is RLNAS_CIFAR10",
        human: "normal: s5(0) s3(1) | s5(0) s5(2) | s5(2) s5(3) | d5(3) s3(4); \
                reduce: s5(0) s3(1) | ap(0) s5(2) | s3(2) s3(3) | s3(1) s3(2)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "RLDARTS_GT",
        source: "clovaai/GeNAS evolution_search/genotypes.py",
        note: "an angle search with true labels that matches no row exactly; nearest is Angle, CIFAR-10 (5.3 M, 0.59 G)",
        check_rounded: Some((44, 5.318, 595.7)),
        human: "normal: s5(0) s5(1) | s3(0) s5(1) | s3(1) s3(3) | s3(3) s3(4); \
                reduce: mp(0) sk(1) | sk(0) sk(1) | sk(0) ap(1) | s3(1) d3(4)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "DARTS_V1_CIFAR10",
        aliases: &["DARTS_V1"],
        source: "clovaai/GeNAS retrain_architecture/genotypes.py",
        note: "DARTS, first order, CIFAR-10; from quark0/darts cnn/genotypes.py",
        check_rounded: Some((48, 4.510, 506.6)),
        human: "normal: s3(1) s3(0) | sk(0) s3(1) | sk(0) s3(1) | s3(0) sk(2); \
                reduce: mp(0) mp(1) | sk(2) mp(0) | mp(0) sk(2) | sk(2) ap(0)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "DARTS_V2_CIFAR10",
        aliases: &["DARTS_V2", "DARTS"],
        source: "clovaai/GeNAS retrain_architecture/genotypes.py",
        note: "DARTS, second order, CIFAR-10; from quark0/darts cnn/genotypes.py. The row keeps the FLOPs that DARTS counted (0.574 G)",
        paper: c10("DARTS", 4.7, 0.57, 73.3, 91.3),
        channels: Some(48),
        check: Some((48, 4_718_752, 530_678_560)),
        check_cifar: Some((36, 3_349_342)),
        human: "normal: s3(0) s3(1) | s3(0) s3(1) | s3(1) sk(0) | sk(0) d3(2); \
                reduce: mp(0) mp(1) | sk(2) mp(1) | mp(0) sk(2) | sk(2) mp(1)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "DARTS_V1_CIFAR100",
        source: "clovaai/GeNAS retrain_architecture/genotypes.py",
        note: "DARTS, first order, CIFAR-100; run by the authors of GeNAS, in no row",
        check: Some((48, 3_260_512, 362_350_624)),
        human: "normal: sk(0) s3(1) | sk(0) s3(1) | sk(0) sk(1) | sk(0) sk(1); \
                reduce: ap(0) ap(1) | ap(0) sk(2) | sk(2) ap(0) | sk(2) ap(0)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "PDARTS_CIFAR10",
        aliases: &["PDARTS", "P_DARTS"],
        source: "clovaai/GeNAS retrain_architecture/genotypes.py",
        note: "P-DARTS, CIFAR-10; from chenxin061/pdarts genotypes.py",
        paper: c10("P-DARTS", 4.9, 0.56, 75.6, 92.6),
        channels: Some(48),
        check: Some((48, 4_944_352, 543_586_304)),
        human: "normal: sk(0) d3(1) | sk(0) s3(1) | s3(1) s3(3) | s3(0) d5(4); \
                reduce: ap(0) s5(1) | s3(0) d5(2) | mp(0) d3(1) | d3(1) d5(3)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "PCDARTS_OURS",
        source: "clovaai/GeNAS retrain_architecture/genotypes.py",
        note: "PC-DARTS run by the authors of GeNAS; that it is the row of CIFAR-100 is inferred from its cost",
        paper: c100("PC-DARTS", 5.3, 0.59, 74.8, 92.2),
        channels: Some(50),
        check: Some((50, 5_278_775, 587_030_400)),
        human: "normal: d5(1) d3(0) | d5(1) mp(0) | d3(0) s3(3) | s3(0) s3(2); \
                reduce: mp(0) mp(1) | mp(0) sk(2) | s5(2) sk(1) | s3(0) s3(2)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "PCDARTS_OURS_SEARCHEPOCH40",
        source: "clovaai/GeNAS retrain_architecture/genotypes.py",
        note: "PC-DARTS run by the authors of GeNAS, stopped at epoch 40; in no row",
        check: Some((44, 5_414_342, 603_544_384)),
        human: "normal: s3(0) s3(1) | s3(1) s5(0) | s5(1) s3(3) | s5(4) s3(0); \
                reduce: mp(0) s3(1) | mp(0) sk(1) | s5(2) s3(0) | sk(0) d3(4)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "SDARTS_RS_CIFAR10",
        aliases: &["SDARTS_RS"],
        source: "clovaai/GeNAS retrain_architecture/genotypes.py",
        note: "SDARTS, random smoothing, CIFAR-10; from xiangning-chen/SmoothDARTS sota/cnn/genotypes.py (c10_s5_random), retrained wider than the original 48",
        paper: c10("SDARTS-RS", 5.5, 0.61, 75.5, 92.7),
        channels: Some(50),
        check: Some((50, 5_511_675, 613_754_880)),
        check_rounded: Some((48, 5.120, 567.5)),
        human: "normal: s3(1) s3(0) | s5(1) sk(0) | s3(3) sk(1) | s3(1) d3(2); \
                reduce: mp(0) s3(1) | sk(2) mp(0) | d5(3) mp(0) | s3(2) s5(3)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "SDARTS_ADV_CIFAR10",
        aliases: &["SDARTS_ADV"],
        source: "clovaai/GeNAS retrain_architecture/genotypes.py",
        note: "SDARTS, adversarial, CIFAR-10; from xiangning-chen/SmoothDARTS sota/cnn/genotypes.py (c10_s5_pgd), retrained wider than the original 48",
        paper: c10("SDARTS-ADV", 5.5, 0.62, 75.6, 92.4),
        channels: Some(52),
        check: Some((52, 5_506_578, 620_724_352)),
        check_rounded: Some((48, 4.769, 532.3)),
        human: "normal: s3(0) s3(1) | s3(1) sk(0) | s5(0) d3(3) | d3(4) sk(0); \
                reduce: mp(0) s5(1) | sk(2) mp(0) | sk(3) sk(2) | sk(2) s5(4)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "DROPNAS",
        aliases: &["DROPNAS_CIFAR100"],
        source: "clovaai/GeNAS retrain_architecture/genotypes.py",
        note: "DropNAS, CIFAR-100; equals the pictures of wiljohnhong/DropNAS. The CIFAR-10 cell is DROPNAS_CIFAR10",
        paper: c100("DropNAS", 5.1, 0.57, 75.1, 92.3),
        channels: Some(46),
        check: Some((46, 5_134_761, 571_166_080)),
        human: "normal: sk(0) s3(1) | s3(1) mp(2) | s3(1) s5(2) | s5(0) s5(1); \
                reduce: mp(0) s5(1) | d5(2) s5(1) | d5(2) d5(3) | d5(2) d5(4)",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "NASNet",
        source: "clovaai/GeNAS retrain_architecture/genotypes.py",
        note: "NASNet-A as DARTS keeps it; 5 nodes, outside the 14-edge space",
        human: "normal: s5(1) s3(0) | s5(0) s3(0) | ap(1) sk(0) | ap(0) ap(0) | s3(1) sk(1); \
                reduce: s5(1) s7(0) | mp(1) s7(0) | ap(1) s5(0) | sk(3) ap(2) | s3(2) mp(1); concat 4-6",
        ..ZooEntry::BLANK
    },
    ZooEntry {
        name: "AmoebaNet",
        source: "clovaai/GeNAS retrain_architecture/genotypes.py",
        note: "AmoebaNet-A as DARTS keeps it; 5 nodes, outside the 14-edge space",
        human: "normal: ap(0) mp(1) | s3(0) s5(2) | s3(0) ap(3) | s3(1) sk(1) | sk(0) ap(1); concat 4-6; \
                reduce: ap(0) s3(1) | mp(0) s7(2) | s7(0) ap(1) | mp(0) mp(1) | c71(0) s3(5); concat 3,4,6",
        ..ZooEntry::BLANK
    },
];
