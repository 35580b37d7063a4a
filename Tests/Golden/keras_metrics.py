"""What Keras's metrics that are counted over several batches give, with and without weights."""

import keras
import numpy

import formula

# Case: the class, and its arguments, which are those of the library's metric too.
METRICS = {
    "precision": ("Precision", {}),
    "precision_thresholds": ("Precision", {"thresholds": [0.3, 0.7, 0.5]}),
    "precision_top_k": ("Precision", {"top_k": 2}),
    "recall": ("Recall", {}),
    "recall_even_thresholds": ("Recall", {"thresholds": [0, 0.5, 1]}),
    "recall_class": ("Recall", {"top_k": 1, "class_id": 0}),
    "true_positives": ("TruePositives", {}),
    "false_positives": ("FalsePositives", {"thresholds": [0.2, 0.8]}),
    "true_negatives": ("TrueNegatives", {}),
    "false_negatives": ("FalseNegatives", {}),
    "f1_score": ("F1Score", {}),
    "f1_score_micro": ("F1Score", {"average": "micro"}),
    "f1_score_macro": ("F1Score", {"average": "macro", "threshold": 0.4}),
    "f1_score_weighted": ("F1Score", {"average": "weighted"}),
    "fbeta_score": ("FBetaScore", {"beta": 2.0, "average": "macro"}),
    "auc": ("AUC", {}),
    "auc_minoring": ("AUC", {"summation_method": "minoring", "num_thresholds": 50}),
    "auc_pr": ("AUC", {"curve": "PR"}),
    "auc_pr_majoring": ("AUC", {"curve": "PR", "summation_method": "majoring"}),
    "auc_prgain": ("AUC", {"curve": "PRGAIN"}),
    "auc_classes": ("AUC", {"multi_label": True}),
    "auc_pr_classes": ("AUC", {"multi_label": True, "curve": "PR"}),
    "auc_thresholds": ("AUC", {"thresholds": [0.1, 0.5, 0.55]}),
    "auc_logits": ("AUC", {"from_logits": True}),
    "sensitivity_at_specificity": ("SensitivityAtSpecificity", {"specificity": 0.6}),
    "specificity_at_sensitivity": ("SpecificityAtSensitivity", {"sensitivity": 0.6}),
    "precision_at_recall": ("PrecisionAtRecall", {"recall": 0.5}),
    "recall_at_precision": ("RecallAtPrecision", {"precision": 0.4, "class_id": 0}),
    "root_mean_squared_error": ("RootMeanSquaredError", {}),
}
BATCHES = 2


def inputs():
    """Targets, predictions and weights: of one yes or no, of several, and of one class of several."""
    found = {}
    for name, shape in (("binary", (50, 1)), ("labels", (40, 5)), ("classes", (40, 5))):
        prediction = formula.values(f"metrics/{name}/prediction", shape, 0.5, 0.5)
        prediction[:4] = numpy.round(prediction[:4], 2)
        target = (formula.values(f"metrics/{name}/target", shape, 0.5, 0.5) < 0.4).astype("float32")
        if name == "classes":
            prediction /= prediction.sum(-1, keepdims=True)
            target = numpy.eye(5, dtype="float32")[numpy.arange(40) * 7 % 5]
        found[name] = target, prediction, formula.values(f"metrics/{name}/weight", shape[:1], 1.0, 1.0)
    return found


def metrics(tensors):
    """The numbers of each metric over two batches."""
    descriptions = {}
    for given, (target, prediction, weight) in inputs().items():
        tensors.update({
            f"metrics/{given}/target": target, f"metrics/{given}/prediction": prediction,
            f"metrics/{given}/weight": weight,
        })
        for case, (kind, arguments) in METRICS.items():
            if arguments.get("top_k", 1) > prediction.shape[-1]:
                continue
            for weighted in (False, True):
                metric = getattr(keras.metrics, kind)(**arguments)
                for part in range(BATCHES):
                    rows = slice(part * len(target) // BATCHES, (part + 1) * len(target) // BATCHES)
                    metric.update_state(target[rows], prediction[rows], weight[rows] if weighted else None)
                result = keras.ops.convert_to_numpy(metric.result())
                descriptions[f"{case} of {given}{' weighted' if weighted else ''}"] = {
                    "kind": snake(kind), "arguments": arguments, "inputs": given, "weighted": weighted,
                    "shape": list(result.shape), "numbers": [float(number) for number in result.reshape(-1)],
                }
    return descriptions


def snake(kind):
    """The library's name of a class."""
    known = {"AUC": "auc", "F1Score": "f1_score", "FBetaScore": "fbeta_score"}
    return known.get(kind) or "".join(f"_{c.lower()}" if c.isupper() else c for c in kind)[1:]
