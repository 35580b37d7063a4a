// These functions are named and documented in include/swiftcnn.h.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

import CNNCore
import CSwiftCNN
import SwiftCNN

@_cdecl("scnn_quantize") @implementation
public func scnn_quantize(
  _ handle: OpaquePointer!, _ calibration: UnsafePointer<scnn_tensor>!, _ options: UnsafePointer<CChar>!,
  _ quantized: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let original = try model(handle), x = try inputs(calibration, "calibration")
    let settings = try QuantizationOptions(json: SwiftCNNABI.options(options, "options"))
    try give(quantized, "quantized") { () throws(CNNError) in
      try original.quantized(calibration: x, options: settings)
    }
  }
}
