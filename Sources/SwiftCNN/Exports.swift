// What a user of the library meets in its signatures: errors, tensors' types, graphs, pictures. `import SwiftCNN` is enough.
@_exported import CNNGraph
@_exported import CNNPictures

@_exported import enum CNNCore.ActivationFunction
@_exported import struct CNNCore.CNNError
@_exported import enum CNNCore.ElementType
@_exported import struct CNNCore.ImportReport
@_exported import struct CNNCore.SparsityMask
@_exported import enum CNNCore.TrainingMemory
@_exported import enum CNNCore.TrainingRole
