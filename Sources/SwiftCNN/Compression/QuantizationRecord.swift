import CNNCore

/// What a model in integers knows of how it was made; it goes with it into copies and files.
struct QuantizationRecord: Sendable, Equatable {
  /// The layers that were skipped because the caller asked for it.
  var skipped: [String] = []
  /// The layers that have returned to floats so that the accuracy holds.
  var returned: [String] = []
  /// Whether the weights of neighbouring layers were equalised before they were rounded.
  var isEqualized = false
  /// The share of the validation samples whose first class was right, in floats and as the model is.
  var accuracy: Accuracy?
  /// What rounding does, measured on some of the calibration images.
  var noise: QuantizationNoise?

  struct Accuracy: Sendable, Equatable {
    let samples: Int
    let floats, integers: Double
  }

  var json: JSON {
    var object = JSONObject()
    object["skipped"] = .strings(skipped)
    object["returned"] = .strings(returned)
    if isEqualized { object["equalized"] = true }
    if let accuracy {
      object["accuracy"] = [
        "samples": .integer(Int64(accuracy.samples)), "float32": .number(accuracy.floats),
        "int8": .number(accuracy.integers),
      ]
    }
    if let noise { object["noise"] = noise.json }
    return .object(object)
  }

  init() {}

  init(json: JSONObject) throws(CNNError) {
    skipped = try json.optionalStrings("skipped") ?? []
    returned = try json.optionalStrings("returned") ?? []
    isEqualized = try json.optionalBool("equalized") ?? false
    if let given = try json.optionalObject("accuracy") {
      accuracy = try Accuracy(
        samples: given.count("samples"), floats: given.number("float32", in: 0...1),
        integers: given.number("int8", in: 0...1))
    }
    noise = try json.optionalObject("noise").map { (object) throws(CNNError) in try QuantizationNoise(json: object) }
  }
}

/// What rounding does to the tensors of a network, as measured on images.
struct QuantizationNoise: Sendable, Equatable {
  /// How many images it was measured on.
  let images: Int
  /// By the name of a step's result, ten times the logarithm of the ratio of signal to noise; none where there is no noise,
  /// or no signal.
  var decibels: [String: Double] = [:]
  /// By the name of a rounding or a parameter, its share of the logits' squared error.
  var shares: [String: Double] = [:]

  init(images: Int) { self.images = images }

  var json: JSON {
    func object(_ numbers: [String: Double]) -> JSON {
      .object(JSONObject(numbers.sorted { $0.key < $1.key }.map { ($0.key, .number($0.value)) }))
    }
    return ["images": .integer(Int64(images)), "decibels": object(decibels), "shares": object(shares)]
  }

  init(json: JSONObject) throws(CNNError) {
    images = try json.count("images")
    func numbers(_ key: String, in range: ClosedRange<Double>) throws(CNNError) -> [String: Double] {
      let object = try json.object(key)
      var result: [String: Double] = [:]
      do throws(CNNError) {
        for name in object.keys { result[name] = try object.number(name, in: range) }
      } catch {
        throw error.prefixed("'\(key)'")
      }
      return result
    }
    // Quotients of floats of 32 bits are from 1e-84 to 1e84.
    (decibels, shares) = (try numbers("decibels", in: -840...840), try numbers("shares", in: -1e84...1e84))
  }
}

extension JSONObject {
  /// The number `key`, of a range.
  fileprivate func number(_ key: String, in range: ClosedRange<Double>) throws(CNNError) -> Double {
    let value = try number(key)
    guard range.contains(value) else {
      throw CNNError(
        .malformedFile, "member '\(key)' is \(value); expected \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  /// The integer `key`, of something that there is.
  fileprivate func count(_ key: String) throws(CNNError) -> Int {
    let value = try integer(key)
    guard value > 0 else { throw CNNError(.malformedFile, "member '\(key)' is \(value); expected 1 or more") }
    return value
  }
}
