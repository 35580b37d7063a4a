/// Tells gdb of generated code.
final class DebuggerRegistration {
  init(_ codes: [(code: MachineCode, address: UnsafeRawPointer)]) {}
}
