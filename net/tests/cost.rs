//! Parameters and FLOPs of every published cell, and the supernet's parameters, against figures
//! that the published code gives.

use genas_net::{Cost, CostReport, EvalNet, NetworkKind, Path, Supernet};
use genas_space::ZooEntry;

fn network(entry: &ZooEntry, kind: NetworkKind, channels: usize) -> EvalNet {
    let classes = if kind == NetworkKind::ImageNet { 1000 } else { 10 };
    let layers = EvalNet::default_layers(kind);
    EvalNet { kind, genotype: entry.genotype(), channels, layers, classes, auxiliary: false }
}

/// The cost at the size that the network was designed for, with the layout checked against it.
fn cost(entry: &ZooEntry, kind: NetworkKind, channels: usize) -> CostReport {
    let net = network(entry, kind, channels);
    let side = EvalNet::default_image_size(kind);
    let report = Cost::of([3, side, side], |i, x| {
        net.forward(i, x);
    });
    assert_eq!(net.layout().n_parameters() as u64, report.params, "{}: layout against cost", entry.name);

    let with_head = EvalNet { auxiliary: true, ..net }.layout();
    let head = |name: &str| name.starts_with("auxiliary.");
    let parameters = with_head.entries().iter().filter(|e| e.role.is_parameter());
    let without_head: usize = parameters.filter(|e| !head(&e.name)).map(|e| e.len()).sum();
    assert_eq!(without_head as u64, report.params, "{}: layout without its auxiliary head", entry.name);
    assert!(with_head.n_parameters() > without_head);
    report
}

#[test]
fn imagenet_networks_cost_exactly_what_the_published_code_counts() {
    let (mut checked, mut exact) = (0, 0);
    for entry in genas_space::zoo() {
        let Some((channels, params, flops)) = entry.check else { continue };
        let report = cost(entry, NetworkKind::ImageNet, channels);
        assert_eq!(report.params, params, "{}", entry.name);
        if flops as f32 as u64 == flops {
            // The print of the published profiler, which sums in f32: off by up to 2e-6.
            let off = report.paper_flops.abs_diff(flops) as f64 / flops as f64;
            println!("{}: exactly {}, printed as {flops} ({off:.1e})", entry.name, report.paper_flops);
            assert!(off <= 2e-6, "{}: {} FLOPs, expected {flops}", entry.name, report.paper_flops);
        } else {
            assert_eq!(report.paper_flops, flops, "{}", entry.name);
            exact += 1;
        }
        // The paper's rule differs from plain multiply-accumulates in the classifier alone.
        let inputs =
            (report.params - network(entry, NetworkKind::ImageNet, channels).params_below()) / 1000 - 1;
        assert_eq!(report.paper_flops - report.macs, (inputs - 1) * 1000, "{}", entry.name);
        checked += 1;
    }
    assert!(checked >= 13 && exact >= 5, "{checked} cells with figures, {exact} of them exact");
}

/// Parameters below the classifier.
trait Below {
    fn params_below(&self) -> u64;
}

impl Below for EvalNet {
    fn params_below(&self) -> u64 {
        Cost::of([3, 224, 224], |i, x| {
            self.features(i, x);
        })
        .params
    }
}

#[test]
fn imagenet_networks_cost_what_rounded_figures_say() {
    let mut checked = 0;
    for entry in genas_space::zoo() {
        let Some((channels, params_m, flops_m)) = entry.check_rounded else { continue };
        let report = cost(entry, NetworkKind::ImageNet, channels);
        let (params, flops) = (report.params as f64 / 1e6, report.paper_flops as f64 / 1e6);
        assert!(
            (params - params_m).abs() <= 0.000_5 + 1e-9,
            "{}: {params} M, expected {params_m} M",
            entry.name
        );
        assert!((flops - flops_m).abs() <= 0.05 + 1e-9, "{}: {flops} M, expected {flops_m} M", entry.name);
        checked += 1;
    }
    assert!(checked >= 16, "{checked} cells with rounded figures");
}

#[test]
fn cifar_networks_have_exactly_the_published_parameters() {
    let mut checked = 0;
    for entry in genas_space::zoo() {
        let Some((channels, params)) = entry.check_cifar else { continue };
        assert_eq!(cost(entry, NetworkKind::Cifar, channels).params, params, "{}", entry.name);
        checked += 1;
    }
    assert!(checked >= 4, "{checked} cells with figures for CIFAR");
}

#[test]
fn the_supernet_has_exactly_the_published_parameters() {
    for (classes, params) in [(10, 2_005_114), (100, 2_028_244)] {
        let net = Supernet { channels: 16, layers: 8, classes };
        assert_eq!(net.layout().n_parameters(), params);
        let report = Cost::of([3, 32, 32], |i, x| {
            net.forward(i, Path::All, x);
        });
        assert_eq!(report.params, params as u64);
    }
}
