"""The two-layer network of the course as plain NumPy: what `xpnet.TwoLayerNet` is compared with.

A port of the exercise's class that anyone would write from its equations, one line for each, without an
eye on speed and without any part of xpnet. It departs from the exercise in its two slips only: `predict`
adds the second bias, and equation (7) sums over the rows of the batch.
"""

import numpy as np


class TwoLayerNet:
    """Affine – ReLU – affine – softmax with ``0.5 * reg * (ΣW1² + ΣW2²)``, trained by SGD.

    ``rng`` is anything with ``standard_normal`` and ``choice``: a Generator, a RandomState, or the module
    `numpy.random` itself. Weights are drawn in float64 and then converted to ``dtype``; all that follows
    stays in ``dtype`` if the data is of it too.
    """

    def __init__(
        self,
        input_size,
        hidden_size,
        output_size,
        std=1e-4,
        *,
        dtype=np.float64,
        rng=np.random,
    ):
        self.rng = rng
        self.params = {
            "W1": (std * rng.standard_normal((input_size, hidden_size))).astype(dtype),
            "b1": np.zeros(hidden_size, dtype),
            "W2": (std * rng.standard_normal((hidden_size, output_size))).astype(dtype),
            "b2": np.zeros(output_size, dtype),
        }

    def loss(self, X, y=None, reg=0.0):
        """Return the scores, or with labels the loss and the gradients of all parameters."""
        W1, b1 = self.params["W1"], self.params["b1"]
        W2, b2 = self.params["W2"], self.params["b2"]
        N = X.shape[0]

        FC1 = X.dot(W1) + b1  # (1)
        H = np.maximum(0, FC1)  # (2)
        FC2 = H.dot(W2) + b2  # (3)
        if y is None:
            return FC2

        exponentials = np.exp(FC2 - FC2.max(axis=1, keepdims=True))
        P = exponentials / exponentials.sum(axis=1, keepdims=True)  # (4)
        loss = -np.log(P[np.arange(N), y]).mean()
        loss += 0.5 * reg * (np.sum(W1 * W1) + np.sum(W2 * W2))

        dFC2 = P.copy()
        dFC2[np.arange(N), y] -= 1
        dFC2 /= N  # (5)
        grads = {}
        grads["W2"] = H.T.dot(dFC2) + reg * W2  # (6)
        grads["b2"] = dFC2.sum(axis=0)  # (7)
        dFC1 = dFC2.dot(W2.T)
        dFC1[FC1 <= 0] = 0  # (8)
        grads["W1"] = X.T.dot(dFC1) + reg * W1  # (9)
        grads["b1"] = dFC1.sum(axis=0)  # (10)
        return loss, grads

    def train(
        self,
        X,
        y,
        X_val,
        y_val,
        learning_rate=1e-3,
        learning_rate_decay=0.95,
        reg=1e-5,
        num_iters=100,
        batch_size=200,
    ):
        """Train on batches drawn with replacement; return the three histories of the exercise."""
        num_train = X.shape[0]
        iterations_per_epoch = max(num_train // batch_size, 1)
        history = {"loss_history": [], "train_acc_history": [], "val_acc_history": []}
        for it in range(num_iters):
            rows = self.rng.choice(num_train, batch_size)
            X_batch, y_batch = X[rows], y[rows]
            loss, grads = self.loss(X_batch, y_batch, reg)
            history["loss_history"].append(loss)
            for name in self.params:
                self.params[name] -= learning_rate * grads[name]
            if it % iterations_per_epoch == 0:
                history["train_acc_history"].append((self.predict(X_batch) == y_batch).mean())
                history["val_acc_history"].append((self.predict(X_val) == y_val).mean())
                learning_rate *= learning_rate_decay
        return history

    def predict(self, X):
        """Return the most probable class of each row."""
        return np.argmax(self.loss(X), axis=1)
