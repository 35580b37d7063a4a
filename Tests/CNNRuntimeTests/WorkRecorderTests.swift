import Testing

@testable import CNNRuntime

@Suite struct WorkRecorderTests {
  @Test func eachWorkerIsRecordedWhileItWorks() {
    let workers = Workers(count: 3), recorder = WorkRecorder(workers)
    let recorded = workers.recorded(by: recorder)
    let start = monotonicNanoseconds()
    recorded.run { _ in }
    recorded.forEachRange(of: 1) { _, _ in }
    let end = monotonicNanoseconds()
    let stretches = recorder.take()
    #expect(stretches.map(\.worker).sorted() == [0, 0, 1, 2])
    #expect(stretches.allSatisfy { start <= $0.start && $0.start <= $0.end && $0.end <= end })
    #expect(recorder.take().isEmpty)
    workers.run { _ in }
    #expect(recorder.take().isEmpty)
  }
}
