import CNNCore
import Testing

@testable import CNNPictures

@Test func aMissingLibraryIsNamedWithItsPackage() {
  do throws(CNNError) {
    _ = try SharedLibrary("libnowhere.so.0", package: "libnowhere0", purpose: "reading pictures")
    Issue.record("there is such a library")
  } catch {
    #expect(error.code == .invalidState)
    #expect(error.mentions("reading pictures needs the library libnowhere.so.0"))
    #expect(error.mentions("package libnowhere0"))
  }
}

@Test func aMissingFunctionIsNamed() throws {
  let library = try SharedLibrary("libc.so.6", package: "libc6", purpose: "anything")
  do throws(CNNError) {
    _ = try library.function("no_such_function", as: (@convention(c) () -> Void).self)
    Issue.record("there is such a function")
  } catch {
    #expect(error.mentions("libc.so.6 of this machine has no function no_such_function"))
  }
}
