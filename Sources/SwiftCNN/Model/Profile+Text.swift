import CNNCore

extension Profile: CustomStringConvertible {
  /// The table.
  public var description: String { text }

  /// The table to look at first: that of the layers where a training step was measured, and else that of the steps.
  public var text: String { isOfTraining ? layerText : stepText }

  /// A table with a row for each step, in the order in which they run, and one for the sum; of a training step one for each
  /// role, too.
  public var stepText: String {
    // Names last, since those of many layers are long.
    let head = [
      "step", "ms", "predicted", "time", "GFLOP/s", "limit", "bytes", "GB/s", "algorithm", "type",
      "instruction", "shape", "layers",
    ]
    let total = total
    func cells(_ title: String, _ figures: Figures) -> [String] {
      [
        title, milliseconds(figures.seconds, 4), figures.predictedSeconds.map { milliseconds($0, 4) } ?? "",
        percent(figures.seconds / total.seconds), figures.operations == 0 ? "" : decimal(figures.gigaflops, 1),
        percent(figures.shareOfLimit), bytes(figures.byteCount), decimal(figures.gigabytesPerSecond, 1),
      ]
    }
    let rows = steps.enumerated().map { index, step in
      cells("\(index + 1)", step.figures) + [
        step.algorithm, step.element.rawValue, step.instruction, step.shape, step.name,
      ]
    }
    let firstText = 8, roles = presentRoles
    let sums = (roles.map { cells("", $0.figures) } + [cells("all", total)]).map {
      $0 + Array(repeating: "", count: head.count - firstText)
    }
    var table = [head] + rows + sums
    if isOfTraining {
      let titles = steps.map { $0.roles.map(\.title).joined(separator: " + ") } + roles.map(\.role.title) + [""]
      for (index, title) in (["role"] + titles).enumerated() { table[index].insert(title, at: firstText) }
    }
    return title + "\n" + ruled(table, firstText: firstText, sums: sums.count)
  }

  /// How many layers have a row of their own.
  private static let rowCount = 40

  /// Of a training step, a table with a row for each of the layers that take longest: the milliseconds in each role, and
  /// together. A row for the others and one for all, and then one for each role.
  private var layerText: String {
    let roles = presentRoles, layers = layers, total = total
    func cells(_ name: String, _ ofRoles: [TrainingRole: Figures], _ figures: Figures) -> [String] {
      [milliseconds(figures.seconds), percent(figures.seconds / total.seconds)]
        + roles.map { ofRoles[$0.role].map { milliseconds($0.seconds) } ?? "" }
        + [
          figures.operations == 0 ? "" : decimal(Double(figures.operations) * 1e-9, 2),
          decimal(Double(figures.byteCount) * 1e-6, 1), milliseconds(figures.shortestSeconds),
          percent(figures.shareOfLimit), name,
        ]
    }
    let head = ["ms", "time"] + roles.map(\.role.title) + ["GFLOP", "MB", "bound", "limit", "layers"]
    let rows = layers.prefix(Self.rowCount).map { cells($0.name, $0.roles, $0.figures) }
    let others = layers.dropFirst(Self.rowCount)
    var sums: [[String]] = []
    if !others.isEmpty {
      let ofRoles = Dictionary(grouping: others.flatMap { Array($0.roles) }, by: \.key)
        .mapValues { Figures(sumOf: $0.map(\.value)) }
      sums.append(cells("\(others.count) other layers", ofRoles, Figures(sumOf: others.map(\.figures))))
    }
    sums.append(
      cells("all", Dictionary(roles.map { ($0.role, $0.figures) }, uniquingKeysWith: { first, _ in first }), total))

    func sum(_ title: String, _ figures: Figures) -> [String] {
      [
        milliseconds(figures.seconds), percent(figures.seconds / total.seconds),
        decimal(Double(figures.operations) * 1e-9, 2), decimal(figures.gigaflops, 1),
        decimal(Double(figures.byteCount) * 1e-6, 1), decimal(figures.gigabytesPerSecond, 1),
        milliseconds(figures.shortestSeconds), percent(figures.shareOfLimit), title,
      ]
    }
    let summary =
      [["ms", "time", "GFLOP", "GFLOP/s", "MB", "GB/s", "bound", "limit", "role"]]
      + roles.map { sum($0.role.title, $0.figures) } + [sum("all", total)]
    let divided = steps.filter { $0.parts.count { $0.seconds > 0 } > 1 }.reduce(0) { $0 + $1.seconds }
    return [
      title, ruled([head] + rows + sums, firstText: head.count - 1, sums: sums.count), "",
      ruled(summary, firstText: 8, sums: 1),
      "\(percent(divided / total.seconds)) of the time was measured of several layers or roles together and is divided "
        + "by the bytes of each",
    ].joined(separator: "\n")
  }

  private var presentRoles: [(role: TrainingRole, figures: Figures)] {
    let roles = roles
    return TrainingRole.allCases.compactMap { role in roles[role].map { (role, $0) } }
  }

  private var title: String {
    let images = "\(imageCount) image\(imageCount == 1 ? "" : "s")"
    return "\(model): \(isOfTraining ? "a training step on \(images)" : "\(images) at once"), \(threadCount) "
      + "thread\(threadCount == 1 ? "" : "s"), median of \(repeats)"
      + (precision == .float32 ? "\n" : ", precision \(precision.rawValue)\n")
      + "limit of this machine: \(decimal(operationsPerSecond * 1e-9, 1)) GFLOP/s, "
      + (integerOperationsPerSecond.map { "\(decimal($0 * 1e-9, 1)) GOP/s of int8, " } ?? "")
      + (tileOperationsPerSecond.map { "\(decimal($0 * 1e-9, 1)) GFLOP/s by tiles of bfloat16, " } ?? "")
      + "\(decimal(bytesPerSecond * 1e-9, 1)) GB/s"
  }

  /// Aligned rows, with rules around the first and before the last ones.
  private func ruled(_ rows: [[String]], firstText: Int, sums: Int) -> String {
    let lines = aligned(rows, firstText: firstText)
    let rule = String(repeating: "-", count: lines[0].count - (rows[0].last?.count ?? 0) + 20)
    return ([rule, lines[0], rule] + lines.dropFirst().dropLast(sums) + [rule] + lines.suffix(sums))
      .joined(separator: "\n")
  }

  /// One of the four: `text`, `steps`, `json` or `trace`.
  /// - Throws: `.unknownName` for another format.
  package func formatted(_ format: String) throws(CNNError) -> String {
    switch format {
    case "text": return text
    case "steps": return stepText
    case "json": return json
    case "trace": return trace
    default: throw unknownName("format", format, among: ["text", "steps", "json", "trace"])
    }
  }
}

extension TrainingRole {
  /// As it is printed.
  var title: String {
    switch self {
    case .inputGradient: "input gradient"
    case .weightGradient: "weight gradient"
    default: rawValue
    }
  }
}

private func milliseconds(_ seconds: Double, _ digits: Int = 3) -> String { decimal(seconds * 1e3, digits) }

private func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }

private func bytes(_ count: Int) -> String {
  if count < 1_000_000 { return "\(decimal(Double(count) * 1e-3, 1)) kB" }
  return "\(decimal(Double(count) * 1e-6, 1)) MB"
}
