@_exported import SwiftCNN

@_exported import struct CNNONNX.ONNXExportOptions
@_exported import struct CNNONNX.ONNXImportOptions
