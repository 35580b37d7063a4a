import CNNCore
import CNNGraph

extension Profile {
  /// The numbers as JSON.
  public var json: String {
    let rows = steps.map { step in
      object(
        [
          ("pass", step.pass.map { .string($0.rawValue) } ?? .null), ("layers", .strings(step.layers)),
          ("algorithm", .string(step.algorithm)), ("dtype", .string(step.element.rawValue)),
          ("instruction", .string(step.instruction)), ("reason", .string(step.reason)),
          ("shape", .string(step.shape)),
          (
            "parts",
            .array(
              step.parts.map { part in
                object(
                  [("layers", .strings(part.layers)), ("role", .string(part.role.rawValue))] + part.figures.members)
              })
          ),
        ] + step.figures.members)
    }
    func members(of roles: [TrainingRole: Figures]) -> JSON {
      object(TrainingRole.allCases.compactMap { role in roles[role].map { (role.rawValue, object($0.members)) } })
    }
    return serialized(
      object([
        ("model", .string(model)), ("images", .integer(Int64(imageCount))), ("threads", .integer(Int64(threadCount))),
        ("precision", .string(precision.rawValue)), ("repeats", .integer(Int64(repeats))),
        ("operations_per_second", .number(operationsPerSecond)),
        ("integer_operations_per_second", integerOperationsPerSecond.map { .number($0) } ?? .null),
        ("tile_operations_per_second", tileOperationsPerSecond.map { .number($0) } ?? .null),
        ("bytes_per_second", .number(bytesPerSecond)), ("seconds", .number(seconds)), ("steps", .array(rows)),
        (
          "layers",
          .array(
            layers.map { layer in
              object([("layers", .strings(layer.names)), ("roles", members(of: layer.roles))] + layer.figures.members)
            })
        ),
        ("roles", members(of: roles)),
      ]))
  }

  /// The fastest of the runs as trace events, which chrome://tracing and Perfetto open: a track with the steps, and
  /// one for each thread with when it was at work.
  public var trace: String {
    func name(_ kind: String, _ name: String, track: Int = 1) -> JSON {
      object([
        ("name", .string(kind)), ("ph", .string("M")), ("pid", .integer(1)), ("tid", .integer(Int64(track))),
        ("args", object([("name", .string(name))])),
      ])
    }
    func name(of step: Step) -> String {
      step.roles.isEmpty ? step.name : "\(step.name): \(step.roles.map(\.title).joined(separator: " + "))"
    }
    let begin = fastest.first?.start ?? 0
    func event(_ step: Step, track: Int, _ start: Int, _ end: Int, _ arguments: JSON) -> JSON {
      object([
        ("name", .string(name(of: step))), ("cat", .string(step.algorithm)), ("ph", .string("X")),
        ("ts", .number(Double(start - begin) / 1000)), ("dur", .number(Double(max(end - start, 1)) / 1000)),
        ("pid", .integer(1)), ("tid", .integer(Int64(track))), ("args", arguments),
      ])
    }
    let ofSteps = 1
    var events = [
      name("process_name", "\(model), \(imageCount) at once"), name("thread_name", "steps", track: ofSteps),
    ]
    events += (1...threadCount).map { name("thread_name", "thread \($0)", track: ofSteps + $0) }
    for (step, time) in zip(steps, fastest) {
      let arguments = object([
        ("pass", step.pass.map { .string($0.rawValue) } ?? .null),
        ("algorithm", .string(step.algorithm)), ("dtype", .string(step.element.rawValue)),
        ("instruction", .string(step.instruction)), ("shape", .string(step.shape)),
        ("GFLOP/s", .number(step.gigaflops)), ("GB/s", .number(step.gigabytesPerSecond)),
        ("share of limit", .number(step.shareOfLimit)), ("bytes", .integer(Int64(step.byteCount))),
      ])
      events.append(event(step, track: ofSteps, time.start, time.end, arguments))
      events += time.stretches.map { event(step, track: ofSteps + 1 + $0.worker, $0.start, $0.end, object([])) }
    }
    return serialized(object([("traceEvents", .array(events)), ("displayTimeUnit", .string("ms"))]))
  }
}

extension Profile.Figures {
  fileprivate var members: [(String, JSON)] {
    [
      ("seconds", .number(seconds)), ("predicted_seconds", predictedSeconds.map { .number($0) } ?? .null),
      ("operations", .integer(Int64(operations))), ("bytes", .integer(Int64(byteCount))),
      ("shortest_seconds", .number(shortestSeconds)), ("gigaflops", .number(gigaflops)),
      ("gigabytes_per_second", .number(gigabytesPerSecond)), ("share_of_limit", .number(shareOfLimit)),
    ]
  }
}

private func object(_ members: [(String, JSON)]) -> JSON {
  var object = JSONObject()
  for (key, value) in members { object[key] = value }
  return .object(object)
}

/// All numbers here are finite: times are at least a nanosecond.
private func serialized(_ json: JSON) -> String { (try? json.serialized()) ?? "{}" }
