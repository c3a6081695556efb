"""The guide's page."""

WORDS = {
    # guide
    "guide.lead": "What do you want, what have you got, and would something simpler do? Then a method, with its reasons.",
    "guide.goal": "What are you trying to do?",
    "guide.goal.style": "Teach a style or a format\nAnswers in a voice, a manner, or a fixed shape such as JSON.",
    "guide.goal.skill": "Teach a task\nTranslate, summarise, rewrite or solve what it does badly so far.",
    "guide.goal.facts": "Teach facts\nKnow what it does not know, such as your products or rules.",
    "guide.goal.labels": "Sort texts into labels\nTopics, intents, spam or not.",
    "guide.goal.numbers": "Rate texts\nA number for each, such as stars or urgency.",
    "guide.goal.words": "Mark words\nNames, places or parts inside a text.",
    "guide.goal.preferences": "Follow preferences\nGive the answers that people like better.",
    "guide.goal.similar": "Find similar texts\nTexts that mean the same end up close together.",
    "guide.got": "What have you got?",
    "guide.rows": "Rows",
    "guide.rows_help": "Examples to learn from. Empty: not known yet.",
    "guide.base": "Base model",
    "guide.base_help": "One that is here, or any of that size.",
    "guide.size": "{amount} parameters",
    "guide.gpu": "Trained on",
    "guide.gpu_help": "At first what this machine has.",
    "guide.gpu.yes": "A GPU",
    "guide.gpu.no": "The processor",
    "guide.memory": "Memory (GB)",
    "guide.memory_help": "Of the GPU, or the computer's where the processor trains.",
    "guide.memory_gpu": "That of this machine: {name}.",
    "guide.memory_main": "That of this machine, which has no GPU.",
    "guide.memory_silent": "This machine's driver does not say how much it has.",
    "guide.hours": "Time for a training",
    "guide.hours.any": "As long as it takes",
    "guide.hours.quarter": "A quarter of an hour",
    "guide.hours.hour": "An hour",
    "guide.hours.night": "A night",
    "guide.wish": "What matters most",
    "guide.wish.start": "A good start",
    "guide.wish.quality": "The best result",
    "guide.wish.memory": "Little memory",
    "guide.wish.files": "Small adapters",
    "guide.wish.keep": "Forgetting little",
    "guide.wish.time": "A quick training",
    "guide.simpler": "Would something simpler do?",
    "guide.simpler_help": "A better prompt costs nothing to change, and facts that are looked up (retrieval) can be corrected at "
                          "once.",
    "guide.prompt": "A good prompt with some examples in it, or a ready-made model",
    "guide.prompt.untried": "Not tried yet",
    "guide.prompt.lacking": "Tried, and not good enough",
    "guide.prompt.works": "Tried, and it works",
    "guide.changes": "These facts",
    "guide.changes.stays": "Stay as they are",
    "guide.changes.changes": "Change now and then",
    # the guide's advice
    "guide.advice": "Advice",
    "guide.verdict.first": "Try this first",
    "guide.verdict.rather_not": "Rather do not train",
    "guide.choice": "Train with this:",
    "guide.choice_then": "If that does not do, train with this:",
    "guide.choice_still": "If you want to train all the same:",
    "guide.use_choice": "Open Train with these choices",
    "guide.use": "Use it",
    "guide.use_of": "Use {name}",
    "guide.others": "Or",
    "guide.rough": "These are rules of thumb. Figures come from PEFT's comparison below, from your answers and from earlier runs "
                   "here; none is a forecast. Where memory runs short, a run goes on with fewer rows at a time by itself.",
    "guide.instead.facts_change": "What changes is better looked up than learnt: each change would take a new training, and an "
                                  "adapter cannot say where it knows something from. Keep the facts where a search finds them, "
                                  "and put what it finds into the prompt.",
    "guide.instead.facts_few": "From {rows} rows a model learns how such answers sound, not what they say, and makes up the rest. "
                               "Put the facts into the prompt, or look them up.",
    "guide.instead.facts_lookup": "Look the facts up and put them into the prompt. That takes no training, can be corrected at "
                                  "once and can name its source. Training helps where an answer needs the whole field and not one "
                                  "passage of it.",
    "guide.instead.no_rows": "There is nothing to learn from yet. Stay with a prompt, or write examples: from about {enough} on, "
                             "training begins to pay.",
    "guide.instead.few_rows": "{rows} rows are few. The best of them as examples in a prompt do about as much, at once; from "
                              "about {enough} on, training begins to pay.",
    "guide.instead.few_similar": "{rows} rows are few. A ready-made model for sentence similarity needs none; from about {enough} "
                                 "on, training begins to pay.",
    "guide.instead.prompt_works": "What works can stay: a prompt is changed in a minute. Train only if it is too long, too slow, "
                                  "or a smaller model should do the same.",
    "guide.instead.try_prompt": "Write a prompt with a clear instruction and three to five of your examples, and ask the base "
                                "model in the playground. It may do, and it is what a training has to beat.",
    "guide.instead.try_labels": "Ask a chat model, with the choices and some examples of each in the prompt. It may do, and it is "
                                "what a training has to beat.",
    "guide.instead.try_ready": "Measure a ready-made model for sentence similarity on your texts. On everyday language it may do "
                               "without any training.",
    "guide.why.method_start_lora": "LoRA is the method to begin with: it learns well on nearly every task, merges into the base "
                                   "model, and is what other tools know.",
    "guide.why.method_facts": "Facts need room, so the rank is high, with rank-stabilised scaling: in PEFT's comparison that "
                              "solved {accuracy} of the problems and plain LoRA of the same rank {lora_accuracy}, in {time} and "
                              "{lora_time}.",
    "guide.why.method_quality_lora": "LoRA of a high rank with rank-stabilised scaling was among the best in PEFT's comparison: "
                                     "{accuracy} of the problems, plain LoRA of the same rank {lora_accuracy}, in {time} and "
                                     "{lora_time}.",
    "guide.why.method_memory_lora": "The base model and its activations take most of the memory, whatever the method. Fewer rows "
                                    "at a time, gradient checkpointing and fewer bits save more than another method would.",
    "guide.why.method_files_ia3": "IA³ learns one scale for each channel: a file of {size} in PEFT's comparison, where LoRA's had "
                                  "{lora_size}. It learnt less: {accuracy} of the problems, LoRA {lora_accuracy}.",
    "guide.why.method_files_lokr": "LoKr came near LoRA in PEFT's comparison, {accuracy} of the problems and {lora_accuracy}, "
                                   "with a file of {size} instead of {lora_size}.",
    "guide.why.method_keep_oft": "OFT turns the weights and adds nothing to them. In PEFT's comparison its loss on Wikipedia rose "
                                 "by {forgetting} and LoRA's by {lora_forgetting}, and it solved {accuracy} of the problems, LoRA "
                                 "{lora_accuracy}.",
    "guide.why.method_time_lora": "LoRA is among the quickest. Rows, epochs and the size of the base model decide about the time; "
                                  "the method changes little.",
    "guide.why.method_cannot": "{title} would come first, but cannot do this task or train on such a base model.",
    "guide.why.memory_unknown": "Say which base model and how much memory, to see whether it fits as it is.",
    "guide.why.memory_fits": "The base model's weights take about {weights} in {bits} bits, and {memory} are there: fewer bits "
                             "are not needed.",
    "guide.why.memory_careful": "The base model's weights take about {weights} in {bits} bits, of {memory}. With one or few rows "
                                "at a time, and gradient checkpointing, they need no fewer bits.",
    "guide.why.memory_nf4": "In {bits} bits the base model's weights take about {weights}, which leaves too little of {memory}. "
                            "In 4 bits they take about {small}; training is slower then, and a little less exact.",
    "guide.why.memory_spared": "In 4 bits the base model's weights take about {small} instead of {weights}; training is slower "
                               "then, and a little less exact.",
    "guide.why.memory_too_large": "Even in 4 bits the base model's weights take about {small}, too much for {memory}. Take one of "
                                  "about {most} parameters or fewer.",
    "guide.why.epochs_few": "{rows} rows are few, so it is {epochs} epochs; the state that does best on the rows kept aside is "
                            "kept.",
    "guide.why.epochs_many": "With {rows} rows, {epochs} epochs are enough.",
    "guide.why.epochs_one": "With {rows} rows, one epoch is enough.",
    "guide.why.encoder": "An encoder, such as BERT or MiniLM, is the best base model here: small and quick, and it reads a text "
                         "from both sides.",
    "guide.why.base_cannot_read": "{base} does not serve this task. Take an encoder, such as BERT or MiniLM.",
    "guide.why.base_cannot_write": "{base} does not write text. Take a model that does.",
    "guide.why.similar_batch": "The rows of a batch are compared with each other, so {rows} at a time.",
    "guide.why.rate_small": "So small a base model takes larger steps: ten times the usual learning rate.",
    "guide.why.preferences_rate": "Preferences want small steps: a tenth of the usual learning rate.",
    "guide.why.preferences_after": "It goes best in two runs: first on the better answers alone, then from that adapter on with "
                                   "both.",
    "guide.why.slow_on_processor": "On a processor, a base model of {parameters} parameters learns very slowly. Try a smaller one "
                                   "first.",
    "guide.why.time_known": "By the pace of earlier runs here, it takes about {time}.",
    "guide.why.time_cut": "By the pace of earlier runs here, that would take about {time}, more than you have, so it is {epochs} "
                          "epochs.",
    "guide.why.time_short": "By the pace of earlier runs here, seeing each row once takes about {once}, more than you have. Take "
                            "fewer rows or a smaller base model.",
    "guide.why.time_unknown": "How long it takes here is not known before a first run. One of 20 steps tells.",
    "guide.why.trade_high_rank": "of rank 64, rank-stabilised: learns more, {accuracy} of the problems in PEFT's comparison and "
                                 "{lora_accuracy} plainly. It forgets more: the loss on Wikipedia rose by {forgetting}, plainly "
                                 "by {lora_forgetting}.",
    "guide.why.trade_hira": "reached {accuracy} of the problems in PEFT's comparison with a file of {size}, but took {slower} "
                            "longer than plain LoRA.",
    "guide.why.trade_lily": "was the best of PEFT's comparison with {accuracy} of the problems, but its file has {size}, and it "
                            "cannot be merged.",
    "guide.why.trade_miss": "took {memory} at most and {time} in PEFT's comparison, plain LoRA {lora_memory} and {lora_time}, for "
                            "{accuracy} of the problems and {lora_accuracy}. It forgot more.",
    "guide.why.trade_ia3": "learns far fewer values: a file of {size} in PEFT's comparison instead of {lora_size}, and less is "
                           "learnt by heart. It also learns less: {accuracy} of the problems, plain LoRA {lora_accuracy}.",
    "guide.why.trade_lokr": "leaves smaller files, {size} in PEFT's comparison instead of {lora_size}, at {accuracy} of the "
                            "problems and {lora_accuracy} with plain LoRA. Training took {slower} longer.",
    "guide.why.trade_lora": "learns well and is what other tools know: {lora_accuracy} of the problems in PEFT's comparison, with "
                            "a file of {lora_size}.",
    "guide.why.trade_shira": "solved {accuracy} of the problems in PEFT's comparison, plain LoRA {lora_accuracy}, and forgot "
                             "about as much as that, {forgetting} and {lora_forgetting}. Its file is larger: {size}.",
    "guide.why.trade_oft": "forgets less: the loss on Wikipedia rose by {forgetting} in PEFT's comparison, with plain LoRA by "
                           "{lora_forgetting}. Training took {slower} longer.",
    "guide.why.trade_cartridge": "for many questions about one long text that hardly changes: it learns a stand-in for that text, "
                                 "and no manner.",
    "guide.why.trade_full": "trains every weight. It can learn the most, and it forgets the most, needs the most memory, and "
                            "leaves a file as large as the base model.",
    "guide.rows.style": "A row is a question or an instruction with an answer in the wanted style.",
    "guide.rows.skill": "A row is what goes in with what should come out.",
    "guide.rows.facts": "A row is a question with its answer; several questions for each fact, asked in different ways.",
    "guide.rows.labels": "A row is a text with its label; rare labels need examples too.",
    "guide.rows.numbers": "A row is a text with its number.",
    "guide.rows.words": "A row is a sentence whose words carry tags, as in CoNLL files.",
    "guide.rows.preferences": "A row is a question with a better and a worse answer, or one answer with a verdict.",
    "guide.rows.similar": "A row is a pair of texts that belong together, perhaps with one that does not.",
    # the guide's table
    "guide.methods": "All methods",
    "guide.about.table": "Press a method to see what it does, what it can and cannot do, and its figures. What was not measured "
                         "stays empty.",
    "guide.about.published": "The comparison's figures are PEFT's own: {model} learnt {learnt} for {steps} steps, in {dtype}, "
                             "{batch} rows of up to {length} tokens at a time, without gradient checkpointing, on one {device}. "
                             "Accuracy is the share of {measured} problems solved, memory the most that was reserved on the GPU. "
                             "Of several configurations of a method, the table has the most accurate. Source:",
    "guide.about.not": "They are one model, one task and one GPU, and each method had settings that somebody chose: others would "
                       "give other figures, and on your data the order may differ. Your own runs tell more.",
    "guide.family": "Family",
    "guide.families_all": "All families",
    "guide.search_help": "Name, or what it is good for",
    "guide.more_filters": "More filters: abilities and published figures",
    "guide.any": "Any",
    "guide.least": "{amount} or more",
    "guide.most": "{amount} or less",
    "guide.own": "Your runs",
    "guide.own_help": "The best run of each method, among those of one base model and one set of data: only these compare.",
    "guide.own_of_group": "{base} on {data} ({runs})",
    "guide.group.published": "PEFT's comparison",
    "guide.group.own": "Your runs",
    "guide.column.accuracy": "Accuracy",
    "guide.column.memory": "Memory",
    "guide.column.size": "Size",
    "guide.column.time": "Time",
    "guide.column.forgetting": "Forgetting",
    "guide.published_of": "{figure}, published",
    "guide.own_of": "{figure}, yours",
    "guide.sort.known": "Best known first",
    "guide.sort.name": "Name",
    "guide.sort.published_accuracy": "Published accuracy, highest first",
    "guide.sort.published_memory": "Published memory, lowest first",
    "guide.sort.published_size": "Published size, smallest first",
    "guide.sort.published_time": "Published time, shortest first",
    "guide.sort.own_score": "Your runs: best score first",
    "guide.sort.own_memory": "Your runs: lowest memory first",
    "guide.sort.own_size": "Your runs: smallest first",
    "guide.sort.own_time": "Your runs: quickest first",
    "guide.count": "{count} of {all} methods",
    "guide.count_all": "{count} methods",
    "guide.no_match": "No method fits. Try fewer words or fewer limits.",
    "guide.can": "What it can do",
    "guide.runs_more": "and {count} more, in the lab book",
    "guide.close": "Close",
    "ability.merge": "Merge into the base model",
    "ability.several_at_once": "Several adapters at once",
    "ability.mixed_batches": "Several adapters in one batch",
    "ability.weighted_combination": "Weighted sum of adapters",
    "ability.gradient_checkpointing": "Gradient checkpointing",
    "ability.int8": "Base model in 8 bits",
    "ability.nf4": "Base model in 4 bits (nf4)",
    "ability.fp4": "Base model in 4 bits (fp4)",
    "family.low-rank": "Low rank",
    "family.shared": "Shared parts",
    "family.product": "Products",
    "family.orthogonal": "Rotations",
    "family.spectral": "Frequencies",
    "family.scaling": "Scales",
    "family.selective": "Chosen weights",
    "family.prompt": "Prompts",
    "family.mixture": "Mixtures",
    "family.side": "Side network",
    "family.other": "Other",
}
