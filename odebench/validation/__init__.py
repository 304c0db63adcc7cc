"""Is a trained model a flow of its differential equation, or does it work with the solver it was trained with only?"""
